{{ config(tags=['reconciliation']) }}

with

staged as (

    {% for kpis in var('kpi_tables') %}
    select
        '{{ kpis }}' as mart,
        batch_id
    from {{ ref('stg_' ~ kpis) }}
    {{ 'union all' if not loop.last }}
    {% endfor %}

)

select distinct
    mart,
    batch_id
from staged
-- a later batch has computed the pending dates of this one, so its staging is as good
where batch_id < '{{ batch_id() }}'
