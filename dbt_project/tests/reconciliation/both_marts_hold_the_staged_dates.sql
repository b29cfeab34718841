{{ config(tags=['reconciliation']) }}

with

staged as (

    select
        'genre_level_kpis' as mart,
        listen_date,
        sum(listen_count) as plays
    from {{ ref('stg_genre_level_kpis') }}
    group by listen_date

    union all

    select
        'hourly_kpis' as mart,
        listen_date,
        sum(listen_count) as plays
    from {{ ref('stg_hourly_kpis') }}
    group by listen_date

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
    staged.mart,
    staged.listen_date,
    staged.plays as plays_staged,
    loaded.plays as plays_loaded
from staged
left join loaded
    on
        staged.mart = loaded.mart
        and staged.listen_date = loaded.listen_date
where
    loaded.listen_date is null
    or loaded.plays < staged.plays
