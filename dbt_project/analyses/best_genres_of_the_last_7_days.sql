with

last_day as (

    {{ last_day(ref('genre_level_kpis')) }}

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
        and genre_level_kpis.listen_date <= last_day.last_day
        and genre_level_kpis.track_genre <> 'unknown'
    group by genre_level_kpis.track_genre

)

select
    rank() over (order by plays desc) as place,
    track_genre,
    plays,
    plays_of_the_week_before,
    round(100.0 * (plays - plays_of_the_week_before) / nullif(plays_of_the_week_before, 0), 1) as change_in_percent
from weeks
order by place, track_genre
