{#-
    A table that holds exactly what one COPY loads: the model's SQL is that COPY, the model's contract is the table.
    (COPY maps Parquet by position, so the contract's columns stand in the file's order.)

    It is built beside and swapped in, in one transaction: readers see the old rows until the COMMIT, and a COPY that
    fails changes nothing. dbt's own drop and rename helpers commit half-way, hence plain SQL.
-#}
{% materialization s3_copy, adapter='redshift' %}

    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set beside = make_intermediate_relation(target_relation) -%}

    {%- do required_batch_id() -%}
    {%- do required_bucket() -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {% call statement('drop_leftover') -%}
        drop table if exists {{ beside }}
    {%- endcall %}

    {% call statement('create_beside') -%}
        create table {{ beside }}
        {{ get_table_columns_and_constraints() }}
        {{ dist(config.get('dist')) }}
        {{ sort(config.get('sort_type'), config.get('sort')) }}
    {%- endcall %}

    {% call statement('main') -%}
        {{ sql }}
    {%- endcall %}

    {% call statement('drop_old') -%}
        drop table if exists {{ target_relation }}
    {%- endcall %}

    {% call statement('swap') -%}
        alter table {{ beside }} rename to {{ adapter.quote(target_relation.identifier) }}
    {%- endcall %}

    {%- do apply_grants(target_relation, config.get('grants'), should_revoke=False) -%}
    {%- do persist_docs(target_relation, model) -%}

    {{ run_hooks(post_hooks, inside_transaction=True) }}

    {%- do adapter.commit() -%}

    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [target_relation]}) }}

{% endmaterialization %}


{#- The table that a COPY fills: the one that s3_copy swaps in afterwards. -#}
{% macro table_beside(relation) -%}

    {{- return(make_intermediate_relation(relation)) -}}

{%- endmacro %}


{#- The S3 folder that holds this batch's files of a source: its `external.location` and the batch. -#}
{% macro batch_folder(kpis) -%}

    {%- if execute -%}
        {%- set node = graph.sources.values() | selectattr('identifier', 'equalto', kpis.identifier) | first -%}
        {{- node.external.location }}/batch_id={{ batch_id() -}}
    {%- endif -%}

{%- endmacro %}


{#- The role by which Redshift reads the bucket: an ARN, or the cluster's default role. -#}
{% macro copy_role() -%}

    {%- set arn = env_var('MUSIC_STREAMS_COPY_ROLE_ARN', '') -%}
    {{- "'" ~ arn ~ "'" if arn else 'default' -}}

{%- endmacro %}


{% macro required_bucket() -%}

    {%- if not env_var('MUSIC_STREAMS_BUCKET', '') -%}
        {%- do exceptions.raise_compiler_error(
            "MUSIC_STREAMS_BUCKET is not set: it names the bucket that the raw KPIs are copied from."
        ) -%}
    {%- endif -%}

{%- endmacro %}


{#- How fresh a source is: when the newest KPIs were computed that staging has copied from it. -#}
{% macro last_computed_at(kpis) -%}

    select max(computed_at) from {{ api.Relation.create(
        database=target.dbname,
        schema=generate_schema_name('staging', none) | trim,
        identifier='stg_' ~ kpis.identifier
    ) }}

{%- endmacro %}
