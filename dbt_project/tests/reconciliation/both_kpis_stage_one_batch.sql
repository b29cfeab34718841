{{ config(tags=['reconciliation']) }}

with

staged as (

    select batch_id from {{ ref('stg_genre_level_kpi_counts') }}

    union all

    select batch_id from {{ ref('stg_hourly_kpi_counts') }}

),

batches as (

    select distinct batch_id from staged

),

batch_count as (

    select count(*) as batch_count from batches

)

select batches.batch_id
from batches
cross join batch_count
where
    batch_count.batch_count > 1
    {% if batch_id() -%}
    or batches.batch_id <> '{{ batch_id() }}'
    {%- endif %}
