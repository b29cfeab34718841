{#- No value is greater than the same row's value of another column. Nulls pass. -#}
{% test not_above(model, column_name, column) %}

select
    {{ column_name }},
    {{ column }}
from {{ model }}
where {{ column_name }} > {{ column }}

{% endtest %}
