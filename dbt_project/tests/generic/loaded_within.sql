{#- Some row was loaded within the last `days`. A table without rows passes, since it has not been loaded yet. -#}
{% test loaded_within(model, column_name, days) %}

select max({{ column_name }}) as last_{{ column_name }}
from {{ model }}
having max({{ column_name }}) < dateadd(day, -{{ days }}, getdate())

{% endtest %}
