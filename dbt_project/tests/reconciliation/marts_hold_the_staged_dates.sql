{{ config(tags=['reconciliation']) }}

with

staged as (

    {% for kpis in var('kpi_tables') %}
    select
        '{{ kpis }}' as mart,
        listen_date,
        sum(listen_count) as plays
    from {{ ref('stg_' ~ kpis) }}
    group by listen_date
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

loaded as (

    {% for kpis in var('kpi_tables') %}
    select
        '{{ kpis }}' as mart,
        listen_date,
        sum(listen_count) as plays
    from {{ ref(kpis) }}
    group by listen_date
    {{ 'union all' if not loop.last }}
    {% endfor %}

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
