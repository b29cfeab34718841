{#-
    Names the schemas `staging`, `reporting`, … in production (target prod), and always `<prefix>_staging`, … elsewhere.
    So environments can share a cluster, and only prod can name production's schemas.
-#}
{% macro generate_schema_name(custom_schema_name, node) -%}

    {%- set layer = custom_schema_name or 'reporting' -%}
    {%- set prefix = target.schema | string -%}
    {%- set exported = env_var('MUSIC_STREAMS_SCHEMA_PREFIX', '') -%}

    {%- if target.name == 'prod' and exported -%}
        {%- do exceptions.raise_compiler_error(
            "Target prod writes to production's schemas, but MUSIC_STREAMS_SCHEMA_PREFIX is '" ~ exported ~ "', as for a"
            ~ " build of your own: choose another target, or unset the variable if you do mean production."
        ) -%}
    {%- elif target.name == 'prod' and prefix != 'reporting' -%}
        {%- do exceptions.raise_compiler_error(
            "Target prod writes to production's schemas and knows no prefix, but its profile says `schema: " ~ prefix
            ~ "`: give a target of your own another name, or say `schema: reporting`."
        ) -%}
    {%- elif target.name == 'prod' -%}
        {{- return(layer) -}}
    {%- elif prefix == '' -%}
        {%- do exceptions.raise_compiler_error(
            "MUSIC_STREAMS_SCHEMA_PREFIX is not set. Outside production (target prod) schemas carry a prefix of their"
            ~ " own: export MUSIC_STREAMS_SCHEMA_PREFIX=dev_yourname, or run `eval \"$(make -s env)\"` for the sandbox."
        ) -%}
    {%- elif not modules.re.fullmatch('[a-z][a-z0-9_]*', prefix) -%}
        {%- do exceptions.raise_compiler_error(
            "'" ~ prefix ~ "' cannot begin the names of schemas: set MUSIC_STREAMS_SCHEMA_PREFIX to small letters, digits"
            ~ " and underscores, such as dev_yourname."
        ) -%}
    {%- endif -%}

    {{- return(prefix ~ '_' ~ layer) -}}

{%- endmacro %}
