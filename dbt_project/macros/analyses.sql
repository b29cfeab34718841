{#-
    The last day that an analysis looks at: `--vars 'last_day: 2024-06-25'`, else the newest date of the mart, so that
    "the last 7 days" have an answer on old data too.
-#}
{% macro last_day(mart) -%}

    {%- set day = var('last_day', '') | string -%}
    {%- if day -%}
        select '{{ modules.datetime.date.fromisoformat(day) }}'::date as last_day
    {%- else -%}
        select max(listen_date) as last_day from {{ mart }}
    {%- endif -%}

{%- endmacro %}
