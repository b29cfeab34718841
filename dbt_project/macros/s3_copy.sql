{#-
    A table that holds exactly the rows of one COPY: the model's SQL is the COPY, and its contract defines the table.
    (COPY maps Parquet by position, so the contract's columns must have the order of the file's.)

    The table is emptied and filled in one transaction: readers see the old rows until the COMMIT, views on the table
    are kept, and a COPY that fails changes nothing. The table is dropped and made again only if its columns or
    constraints differ from the contract's.
-#}
{% materialization s3_copy, adapter='redshift' %}

    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set existing = load_cached_relation(this) -%}

    {%- do required_batch_id() -%}
    {%- do required_bucket() -%}

    {#- Reading the catalogue takes a snapshot, so it happens before the transaction that loads. -#}
    {%- do assert_loadable(target_relation, target_relation) -%}
    {%- set outdated = existing and not has_the_contracts_columns(existing) -%}
    {%- if outdated -%}
        {%- do refuse_while_views_depend_on(existing) -%}
    {%- endif -%}
    {%- do create_load_lock(target_relation) -%}
    {%- do adapter.commit() -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}

    {% call statement('lock_loads') -%}
        {{ lock_loads(target_relation) }}
    {%- endcall %}

    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {% if outdated -%}
        {% call statement('drop_outdated') -%}
            drop table {{ existing }}
        {%- endcall %}
    {%- endif %}

    {% if existing and not outdated -%}
        {% call statement('empty') -%}
            delete from {{ target_relation }}
        {%- endcall %}
    {%- else -%}
        {% call statement('create') -%}
            create table {{ target_relation }}
            {{ get_table_columns_and_constraints() }}
            {{ dist(config.get('dist')) }}
            {{ sort(config.get('sort_type'), config.get('sort')) }}
        {%- endcall %}
    {%- endif %}

    {% call statement('main') -%}
        {{ sql }}
    {%- endcall %}

    {%- do apply_grants(target_relation, config.get('grants'), should_revoke=False) -%}
    {%- do persist_docs(target_relation, model) -%}

    {{ run_hooks(post_hooks, inside_transaction=True) }}

    {%- do adapter.commit() -%}

    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [target_relation]}) }}

{% endmaterialization %}


{#- Returns whether a table has the columns of the model's contract, with the same types, constraints and order. -#}
{% macro has_the_contracts_columns(relation) -%}

    {%- set found = [] -%}
    {%- set required = required_columns(relation) -%}
    {%- for column in adapter.get_columns_in_relation(relation) -%}
        {%- do found.append((column.name | lower, column.data_type, column.name in required)) -%}
    {%- endfor -%}
    {%- set wanted = [] -%}
    {%- for column in model.columns.values() -%}
        {%- set constraints = column.constraints | map(attribute='type') | list -%}
        {%- do wanted.append((column.name | lower, type_in_the_catalogue(column.data_type), 'not_null' in constraints)) -%}
    {%- endfor -%}
    {{- return(found == wanted) -}}

{%- endmacro %}


{#- Returns the names of the columns that do not accept null. -#}
{% macro required_columns(relation) -%}

    {%- set columns = run_query(
        "select column_name from information_schema.columns where is_nullable = 'NO'"
        ~ " and table_schema = '" ~ relation.schema ~ "' and table_name = '" ~ relation.identifier ~ "'"
    ) -%}
    {{- return(columns.columns[0].values() | list) -}}

{%- endmacro %}


{#- Returns the catalogue's name of a type in a contract. -#}
{% macro type_in_the_catalogue(data_type) -%}

    {%- set spelled_out = {'varchar': 'character varying', 'timestamp': 'timestamp without time zone'} -%}
    {%- set name = data_type.split('(')[0] -%}
    {{- return(data_type | replace(name, spelled_out.get(name, name), 1)) -}}

{%- endmacro %}


{#- Raises if views depend on the table, which then cannot be dropped. -#}
{% macro refuse_while_views_depend_on(relation) -%}

    {%- set views = [] -%}
    {%- for row in redshift__get_relations() -%}
        {%- if (row['referenced_schema'], row['referenced_name']) == (relation.schema, relation.identifier) -%}
            {%- do views.append(row['dependent_schema'] ~ '.' ~ row['dependent_name']) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if views -%}
        {%- do exceptions.raise_compiler_error(
            "The contract of " ~ relation ~ " has changed, so the table must be dropped and made anew, but views depend on"
            ~ " it: " ~ views | sort | join(', ') ~ ". Drop them, or make them anew `with no schema binding`, and load again."
        ) -%}
    {%- endif -%}

{%- endmacro %}


{#- The COPY of the parts that this batch's manifest names: the SQL of a staging model. -#}
{% macro copy_kpis(kpis) -%}

    copy {{ this }}
    from '{{ batch_folder(kpis) }}/manifest.json'
    iam_role {{ copy_role() }}
    format as parquet
    manifest

{%- endmacro %}


{#- Returns the S3 folder of this batch's files of a source: the source's `external.location` and the batch. -#}
{% macro batch_folder(kpis) -%}

    {%- if execute -%}
        {%- set node = graph.sources.values() | selectattr('identifier', 'equalto', kpis.identifier) | first -%}
        {{- node.external.location }}/batch_id={{ batch_id() -}}
    {%- endif -%}

{%- endmacro %}


{#- Returns the role by which Redshift reads the bucket: an ARN, or the cluster's default role. -#}
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


{#- Selects the time at which the newest KPIs in a source's staging were computed; null before the first load. -#}
{% macro last_computed_at(kpis) -%}

    {%- set staged = adapter.get_relation(
        database=target.dbname,
        schema=generate_schema_name('staging', none) | trim,
        identifier='stg_' ~ kpis.identifier
    ) -%}
    {%- if staged -%}
        select max(computed_at) from {{ staged }}
    {%- else -%}
        select null::timestamp
    {%- endif -%}

{%- endmacro %}
