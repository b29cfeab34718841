{{
    config(
        unique_key=['listen_date', 'track_genre'],
        sort=['listen_date', 'track_genre'],
        meta={'replaced_by': 'listen_date'},
        pre_hook=[
            "{{ lock_for_replacement(ref('stg_genre_level_kpis')) }}",
            "{{ assert_staged_batch(ref('stg_genre_level_kpis')) }}",
        ],
    )
}}

with

staged as (

    select * from {{ ref('stg_genre_level_kpis') }}

),

staged_dates as (

    {{ plays_by_date('staged') }}

),

{% if is_incremental() %}

loaded_dates as (

    {{ plays_by_date(this) }}

),

taken_dates as (

    select staged_dates.listen_date
    from staged_dates
    left join loaded_dates
        on staged_dates.listen_date = loaded_dates.listen_date
    where
        loaded_dates.listen_date is null
        or {{ is_not_behind('staged_dates', 'loaded_dates') }}

),

{% else %}

taken_dates as (

    select listen_date from staged_dates

),

{% endif %}

final as (

    select
        staged.listen_date,
        staged.track_genre,
        staged.listen_count,
        staged.unique_listeners,
        staged.popularity_index,
        staged.average_duration,
        staged.most_popular_track_id,
        staged.most_popular_track_name,
        staged.batch_id,
        staged.computed_at,
        getdate() as loaded_at
    from staged
    inner join taken_dates
        on staged.listen_date = taken_dates.listen_date

)

select * from final
