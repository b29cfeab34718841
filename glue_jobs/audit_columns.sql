-- Adds to the KPI rows of a batch, `kpi_rows`, the columns by which dbt checks that it has loaded all of them, and sorts
-- the rows by their key, which is their first columns. Parameters: batch_id, computed_at (UTC).
select
    *,
    count(*) over of_date as rows_of_date,
    cast(sum(listen_count) over of_date as bigint) as plays_of_date,
    (select count(distinct listen_date) from kpi_rows) as dates_of_batch,
    cast($batch_id as varchar) as batch_id,
    cast($computed_at as timestamp) as computed_at
from kpi_rows
window of_date as (partition by listen_date)
order by all
