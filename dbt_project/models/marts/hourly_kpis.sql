{{
    config(
        incremental_strategy='replace_dates',
        unique_key=['listen_date', 'listen_hour'],
        sort=['listen_date', 'listen_hour'],
    )
}}

{{ replace_dates('stg_hourly_kpis') }}
