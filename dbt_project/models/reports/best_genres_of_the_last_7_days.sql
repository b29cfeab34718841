with

last_day as (

    select max(listen_date) as last_day from {{ ref('genre_level_kpis') }}

),

weeks as (

    select
        genre_level_kpis.track_genre,
        sum(
            case
                when genre_level_kpis.listen_date > dateadd(day, -7, last_day.last_day)
                    then genre_level_kpis.listen_count
                else 0
            end
        ) as plays,
        sum(
            case
                when genre_level_kpis.listen_date <= dateadd(day, -7, last_day.last_day)
                    then genre_level_kpis.listen_count
                else 0
            end
        ) as plays_of_the_week_before
    from {{ ref('genre_level_kpis') }} as genre_level_kpis
    cross join last_day
    where
        genre_level_kpis.listen_date > dateadd(day, -14, last_day.last_day)
        and genre_level_kpis.track_genre <> 'unknown'
    group by genre_level_kpis.track_genre

)

select
    rank() over (order by plays desc) as place,
    track_genre,
    cast(plays as bigint) as plays,
    cast(plays_of_the_week_before as bigint) as plays_of_the_week_before,
    cast(
        round(100.0 * (plays - plays_of_the_week_before) / nullif(plays_of_the_week_before, 0), 1) as double precision
    ) as change_in_percent
from weeks
