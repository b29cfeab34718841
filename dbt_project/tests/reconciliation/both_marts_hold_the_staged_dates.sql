{{ config(tags=['reconciliation']) }}

with

counted as (

    select
        'genre_level_kpis' as mart,
        listen_date,
        play_count
    from {{ ref('stg_genre_level_kpi_counts') }}

    union all

    select
        'hourly_kpis' as mart,
        listen_date,
        play_count
    from {{ ref('stg_hourly_kpi_counts') }}

),

loaded as (

    select
        'genre_level_kpis' as mart,
        listen_date,
        sum(listen_count) as plays
    from {{ ref('genre_level_kpis') }}
    group by listen_date

    union all

    select
        'hourly_kpis' as mart,
        listen_date,
        sum(listen_count) as plays
    from {{ ref('hourly_kpis') }}
    group by listen_date

)

select
    counted.mart,
    counted.listen_date,
    counted.play_count as plays_counted,
    loaded.plays as plays_loaded
from counted
left join loaded
    on
        counted.mart = loaded.mart
        and counted.listen_date = loaded.listen_date
where
    loaded.listen_date is null
    or loaded.plays < counted.play_count
