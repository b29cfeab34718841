{#- All rows belong to one batch; to the batch of this run, when it has one. -#}
{% test one_batch(model) %}

with

batches as (

    select distinct batch_id from {{ model }}

)

select batch_id
from batches
where
    batch_id is null
    or (select count(*) from batches) > 1
    {%- if batch_id() %}
    or batch_id <> '{{ batch_id() }}'
    {%- endif %}

{% endtest %}
