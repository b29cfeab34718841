with

last_day as (

    select max(listen_date) as last_day from {{ ref('hourly_kpis') }}

)

select
    rank() over (order by count(*) desc) as place,
    hourly_kpis.top_artist,
    count(*) as hours_led,
    count(distinct hourly_kpis.listen_date) as days_with_a_lead,
    cast(sum(hourly_kpis.top_artist_listen_count) as bigint) as plays_in_these_hours
from {{ ref('hourly_kpis') }} as hourly_kpis
cross join last_day
where
    hourly_kpis.top_artist is not null
    and hourly_kpis.listen_date > dateadd(day, -7, last_day.last_day)
group by hourly_kpis.top_artist
