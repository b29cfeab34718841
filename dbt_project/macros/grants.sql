{#-
    Who may read the KPIs: MUSIC_STREAMS_READER, e.g. `role:analysts`, `group:analysts` or `user:ann`; nobody when unset.
    The tables are granted by dbt's `grants` config (dbt_project.yml), after each load; their schemas when they are made,
    since Redshift fails one of two grants on a schema that meet.
-#}
{% macro redshift__create_schema(relation) -%}

    {{ postgres__create_schema(relation) }}
    {%- set reader = env_var('MUSIC_STREAMS_READER', '') -%}
    {%- if reader and relation.schema.endswith(('staging', 'reporting')) -%}
        {%- call statement('grant_usage') -%}
            grant usage on schema {{ adapter.quote(relation.schema) }} to {{ redshift__format_grantees([reader]) | join }}
        {%- endcall -%}
    {%- endif -%}

{%- endmacro %}
