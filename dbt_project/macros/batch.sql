{#-
    Returns the batch that this run loads; empty if none is set, so that compiling and docs need none. While parsing,
    the macro does not read the variable, since dbt would parse every file that reads it again for each new batch.
    (`execute` is not defined in query comments.)
-#}
{% macro batch_id() -%}

    {%- if execute is defined and not execute -%}
        {{- return('') -}}
    {%- endif -%}
    {{- return(var('batch_id', env_var('MUSIC_STREAMS_BATCH_ID', '')) | string) -}}

{%- endmacro %}


{#- Returns the batch that this run loads; raises if none is set, with a message that says how to set it. -#}
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


{#- Pre-hook of a mart: raises unless every row of its staging belongs to this run's batch. -#}
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
