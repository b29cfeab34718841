{#- As in dbt_utils: no two rows have the same values in all of the columns. -#}
{% test unique_combination_of_columns(model, combination_of_columns) %}

{%- set columns = combination_of_columns | join(', ') %}

select {{ columns }}
from {{ model }}
group by {{ columns }}
having count(*) > 1

{% endtest %}
