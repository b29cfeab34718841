{{ config(tags=['reconciliation']) }}

with

staged as (

    select
        'genre_level_kpis' as mart,
        batch_id
    from {{ ref('stg_genre_level_kpis') }}

    union all

    select
        'hourly_kpis' as mart,
        batch_id
    from {{ ref('stg_hourly_kpis') }}

)

select distinct
    mart,
    batch_id
from staged
-- a later batch has computed the pending dates of this one, so its staging is as good
where batch_id < '{{ batch_id() }}'
