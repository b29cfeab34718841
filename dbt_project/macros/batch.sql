{#-
    The batch that this run loads; empty when none is set, so that compiling and docs need none. Parsing looks for none:
    with each new batch, dbt would parse anew whatever has read its id. (dbt's comments have no `execute`.)
-#}
{% macro batch_id() -%}

    {%- if execute is defined and not execute -%}
        {{- return('') -}}
    {%- endif -%}
    {{- return(var('batch_id', env_var('MUSIC_STREAMS_BATCH_ID', '')) | string) -}}

{%- endmacro %}


{#- The batch that this run loads, or the error that says how to name one. -#}
{% macro required_batch_id() -%}

    {%- set batch_id = batch_id() -%}

    {%- if batch_id == '' -%}
        {%- do exceptions.raise_compiler_error(
            "No batch to load: set MUSIC_STREAMS_BATCH_ID (`eval \"$(make -s env)\"` exports the last committed one)"
            ~ " or pass --vars 'batch_id: 20240626T000000Z-1a2b3c4d'."
        ) -%}
    {%- elif not modules.re.fullmatch('[A-Za-z0-9_-]+', batch_id) -%}
        {%- do exceptions.raise_compiler_error(
            "'" ~ batch_id ~ "' is no batch id: one looks like 20240626T000000Z-1a2b3c4d. It comes from --vars batch_id"
            ~ " or MUSIC_STREAMS_BATCH_ID."
        ) -%}
    {%- endif -%}

    {{- return(batch_id) -}}

{%- endmacro %}


{#- Pre-hook of a mart. Raises unless every row of its staging belongs to this run's batch. -#}
{% macro assert_staged_batch(staged) -%}

    {%- if execute -%}
        {%- set batch_id = required_batch_id() -%}
        {%- set foreign_batches = run_query(
            "select distinct batch_id from " ~ staged ~ " where batch_id is null or batch_id <> '" ~ batch_id
            ~ "' order by batch_id"
        ).columns[0].values() -%}
        {%- if foreign_batches -%}
            {%- do exceptions.raise_compiler_error(
                "This run loads batch " ~ batch_id ~ ", but " ~ staged ~ " holds rows of batch "
                ~ foreign_batches | join(', ') ~ ". Load staging for this batch first: build its parents too."
            ) -%}
        {%- endif -%}
    {%- endif -%}

{%- endmacro %}
