{#- Every value lies in the range: `at_least`, `at_most` (inclusive), `above` (exclusive). Nulls fail, unless `nullable`. -#}
{% test in_range(model, column_name, at_least=none, above=none, at_most=none, nullable=false) %}

select {{ column_name }}
from {{ model }}
where
    {{ 'false' if nullable else column_name ~ ' is null' }}
    {%- if at_least is not none %}
    or {{ column_name }} < {{ at_least }}
    {%- endif %}
    {%- if above is not none %}
    or {{ column_name }} <= {{ above }}
    {%- endif %}
    {%- if at_most is not none %}
    or {{ column_name }} > {{ at_most }}
    {%- endif %}

{% endtest %}
