{{
    config(
        incremental_strategy='replace_dates',
        unique_key=['listen_date', 'track_genre'],
        sort=['listen_date', 'track_genre'],
    )
}}

{{ replace_dates('stg_genre_level_kpis') }}
