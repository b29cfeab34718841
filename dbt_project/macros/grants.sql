{#-
    Grants the KPIs to MUSIC_STREAMS_READER, e.g. `role:analysts`, `group:analysts` or `user:ann`; to nobody if unset.
    dbt's `grants` config (dbt_project.yml) lists the models, and dbt grants their tables and views after each build.
    This macro grants the schema when it is made, since Redshift fails one of two concurrent grants on a schema.
-#}
{% macro redshift__create_schema(relation) -%}

    {{ postgres__create_schema(relation) }}
    {%- set readers = [] -%}
    {%- for node in graph.nodes.values() if node.schema == relation.schema -%}
        {%- do readers.extend(node.config.get('grants', {}).get('select', [])) -%}
    {%- endfor -%}
    {%- if readers -%}
        {%- call statement('grant_usage') -%}
            grant usage on schema {{ adapter.quote(relation.schema) }}
            to {{ redshift__format_grantees(readers | unique | sort) | join(', ') }}
        {%- endcall -%}
    {%- endif -%}

{%- endmacro %}
