{#- Something was loaded within the last days. A table without rows passes: nothing is late that never came. -#}
{% test loaded_within(model, column_name, days) %}

select max({{ column_name }}) as last_{{ column_name }}
from {{ model }}
having max({{ column_name }}) < dateadd(day, -{{ days }}, getdate())

{% endtest %}
