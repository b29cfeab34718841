with

-- every day counts, even in hours without plays
days as (

    select
        date_part(dow, listen_date) as day_of_week,
        count(distinct listen_date) as day_count
    from {{ ref('hourly_kpis') }}
    group by date_part(dow, listen_date)

),

plays as (

    select
        date_part(dow, listen_date) as day_of_week,
        listen_hour,
        sum(listen_count) as plays
    from {{ ref('hourly_kpis') }}
    group by date_part(dow, listen_date), listen_hour

)

select
    cast(plays.day_of_week as smallint) as day_of_week,
    plays.listen_hour,
    cast(plays.plays as bigint) as plays,
    cast(round(1.0 * plays.plays / days.day_count, 1) as double precision) as plays_per_day
from plays
inner join days
    on plays.day_of_week = days.day_of_week
