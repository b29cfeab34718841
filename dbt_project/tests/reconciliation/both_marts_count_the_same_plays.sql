{{ config(tags=['reconciliation']) }}

with

genre_level as (

    {{ plays_by_date(ref('genre_level_kpis')) }}

),

hourly as (

    {{ plays_by_date(ref('hourly_kpis')) }}

)

select
    coalesce(genre_level.listen_date, hourly.listen_date) as listen_date,
    genre_level.plays as genre_level_plays,
    hourly.plays as hourly_plays
from genre_level
full outer join hourly
    on genre_level.listen_date = hourly.listen_date
where
    genre_level.listen_date is null
    or hourly.listen_date is null
    or genre_level.plays <> hourly.plays
