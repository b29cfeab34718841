{#- `staging` and `reporting` in production; elsewhere `<prefix>_staging`, …: environments can share a cluster. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}

    {%- if target.name == 'prod' -%}

        {{ custom_schema_name or target.schema }}

    {%- elif target.schema -%}

        {{ [target.schema, custom_schema_name] | select | join('_') }}

    {%- else -%}

        {{ exceptions.raise_compiler_error(
            "MUSIC_STREAMS_SCHEMA_PREFIX is not set. Outside production (target prod) schemas carry a prefix of their"
            ~ " own: export MUSIC_STREAMS_SCHEMA_PREFIX=sandbox, or run `eval \"$(make -s env)\"`."
        ) }}

    {%- endif -%}

{%- endmacro %}
