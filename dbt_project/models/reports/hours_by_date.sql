with

last_day as (

    select max(listen_date) as last_day from {{ ref('hourly_kpis') }}

)

select
    hourly_kpis.listen_date,
    hourly_kpis.listen_hour,
    hourly_kpis.listen_count as plays,
    hourly_kpis.unique_listeners as listeners,
    hourly_kpis.diversity_index,
    hourly_kpis.top_artist,
    hourly_kpis.most_engaged_age_group
from {{ ref('hourly_kpis') }} as hourly_kpis
cross join last_day
where hourly_kpis.listen_date > dateadd(day, -{{ var('days_in_the_report') }}, last_day.last_day)
