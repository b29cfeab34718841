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
-- staging of a later batch is allowed, since that batch has also computed the pending dates of this one
where batch_id < '{{ batch_id() }}'
