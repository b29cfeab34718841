{#-
    Replaces dbt's test materialization for tests with `meta: {failed_rows: kept}`. dbt's own `store_failures` would
    drop and create a table for every test in every run. This one writes a table only if rows have failed, and adds them
    to the rows of earlier runs, unless the test's columns have changed.
-#}
{% materialization test, adapter='redshift' %}

    {%- if config.get('meta', {}).get('failed_rows') != 'kept' -%}
        {{- return(dbt.materialization_test_default()) -}}
    {%- endif -%}

    {%- set failed_rows = get_limit_subquery_sql(sql, config.get('limit')) -%}

    {% call statement('main', fetch_result=True) -%}
        {{ get_test_sql(failed_rows, config.get('fail_calc'), config.get('warn_if'), config.get('error_if'), limit=none) }}
    {%- endcall %}

    {%- set relations = [] -%}
    {%- if load_result('main')['data'][0][0] -%}
        {%- do relations.append(store_failed_rows(failed_rows)) -%}
    {%- endif -%}

    {{ return({'relations': relations}) }}

{% endmaterialization %}


{#- Adds rows to the test's table, with the batch and the time of the test; returns the table. -#}
{% macro store_failed_rows(failed_rows, at_most=1000) -%}

    {#- Redshift folds even quoted names to lower case, and the name of a test may be `…_True`. -#}
    {%- set table = api.Relation.create(
        database=database, schema=schema, identifier=model['alias'] | lower, type='table'
    ) -%}
    {%- set rows_of_this_run -%}
        select
            '{{ batch_id() }}'::varchar(64) as tested_batch_id,
            getdate() as tested_at,
            failed.*
        from (
            {{ failed_rows }}
        ) as failed
        limit {{ at_most }}
    {%- endset -%}

    {%- set stored_columns = adapter.get_columns_in_relation(table) | map(attribute='name') | list -%}
    {%- if stored_columns == get_columns_in_query(rows_of_this_run) -%}
        {%- call statement('store_failed_rows', auto_begin=True) -%}
            insert into {{ table }} (
                {{ rows_of_this_run }}
            )
        {%- endcall -%}
    {%- else -%}
        {#- The table is missing, or holds other columns than the test selects now. -#}
        {%- call statement('drop_old', auto_begin=True) -%}
            drop table if exists {{ table }}
        {%- endcall -%}
        {%- call statement('store_failed_rows') -%}
            create table {{ table }} as (
                {{ rows_of_this_run }}
            )
        {%- endcall -%}
    {%- endif -%}
    {%- do adapter.commit() -%}

    {{- return(table) -}}

{%- endmacro %}
