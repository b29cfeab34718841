{#- All rows belong to one batch, and if this run has a batch, to that one. -#}
{% test one_batch(model) %}

with

batches as (

    select distinct batch_id from {{ model }}

),

batch_count as (

    select count(*) as batch_count from batches

)

select batches.batch_id
from batches
cross join batch_count
where
    batches.batch_id is null
    or batch_count.batch_count > 1
    {%- if batch_id() %}
    or batches.batch_id <> '{{ batch_id() }}'
    {%- endif %}

{% endtest %}
