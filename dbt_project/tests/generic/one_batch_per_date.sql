{#- All rows of a date come from one computation, so the date was replaced as a whole. -#}
{% test one_batch_per_date(model) %}

with

computations as (

    select distinct
        listen_date,
        batch_id,
        computed_at
    from {{ model }}

),

computation_counts as (

    select
        listen_date,
        count(*) as computation_count
    from computations
    group by listen_date

)

select computations.*
from computations
inner join computation_counts
    on computations.listen_date = computation_counts.listen_date
where computation_counts.computation_count > 1

{% endtest %}
