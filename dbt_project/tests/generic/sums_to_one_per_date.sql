{#- The shares of each date add up to 1, except for rounding. -#}
{% test sums_to_one_per_date(model, column, tolerance=0.000001) %}

select
    listen_date,
    sum({{ column }}) as total
from {{ model }}
group by listen_date
having abs(sum({{ column }}) - 1) > {{ tolerance }}

{% endtest %}
