with

last_day as (

    select max(listen_date) as last_day from {{ ref('genre_level_kpis') }}

)

select
    genre_level_kpis.listen_date,
    genre_level_kpis.track_genre,
    genre_level_kpis.listen_count as plays,
    genre_level_kpis.unique_listeners as listeners
from {{ ref('genre_level_kpis') }} as genre_level_kpis
cross join last_day
where genre_level_kpis.listen_date > dateadd(day, -{{ var('days_in_the_report') }}, last_day.last_day)
