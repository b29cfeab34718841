with

days as (

    select
        listen_date,
        sum(listen_count) as plays,
        sum(diversity_index * listen_count) / sum(listen_count) as diversity_index
    from {{ ref('hourly_kpis') }}
    group by listen_date

)

select
    listen_date,
    cast(plays as bigint) as plays,
    cast(round(diversity_index, 3) as double precision) as diversity_index,
    cast(round(diversity_index - lag(diversity_index) over (order by listen_date), 3) as double precision) as change
from days
