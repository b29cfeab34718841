with

batches as (

    select batch_id from {{ ref('stg_genre_level_kpi_counts') }}

    union

    select batch_id from {{ ref('stg_hourly_kpi_counts') }}

)

select batch_id
from batches
where
    (select count(*) from batches) > 1
    {% if batch_id() -%}
    or batch_id <> '{{ batch_id() }}'
    {%- endif %}
