{#-
    Who may read the KPIs: MUSIC_STREAMS_READER, e.g. `role:analysts`, `group:analysts` or `user:ann`; nobody when unset.
    dbt's `grants` config (dbt_project.yml) says on what. It grants tables and views after each build; their schema is
    granted here when it is made, since Redshift fails one of two grants on a schema that meet.
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
