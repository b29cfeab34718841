{#-
    A view `with no schema binding`, which is made only if its SQL or its readers have changed. dbt itself would replace
    the view in every run, and wait for each open transaction that has read it. The view's comment keeps the SQL and the
    readers with which it was made.
-#}
{% materialization late_binding_view, adapter='redshift' %}

    {%- set target_relation = this.incorporate(type='view') -%}
    {%- set made_of = 'made of ' ~ local_md5(sql ~ config.get('grants')) -%}

    {%- if load_cached_relation(this) and made_of in comment_of(this) -%}
        {%- call noop_statement('main', 'UNCHANGED') -%}{%- endcall -%}
        {{- return({'relations': [target_relation]}) -}}
    {%- endif -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {% call statement('drop_old') -%}
        drop view if exists {{ target_relation }}
    {%- endcall %}

    {% call statement('main') -%}
        create view {{ target_relation }} as (
            {{ get_assert_columns_equivalent(sql) }}
            {{ sql }}
        ) with no schema binding
    {%- endcall %}

    {%- do apply_grants(target_relation, config.get('grants'), should_revoke=False) -%}
    {% call statement('comment') -%}
        comment on view {{ target_relation }}
        is {{ postgres_escape_comment(model.description ~ ' (' ~ made_of ~ ')') }}
    {%- endcall %}

    {{ run_hooks(post_hooks, inside_transaction=True) }}

    {%- do adapter.commit() -%}

    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [target_relation]}) }}

{% endmaterialization %}


{% macro comment_of(relation) -%}

    {%- set found = run_query(
        "select description.description"
        ~ " from pg_description as description"
        ~ " inner join pg_class as class on description.objoid = class.oid"
        ~ " inner join pg_namespace as namespace on class.relnamespace = namespace.oid"
        ~ " where description.objsubid = 0 and namespace.nspname = '" ~ relation.schema ~ "'"
        ~ " and class.relname = '" ~ relation.identifier ~ "'"
    ).columns[0].values() -%}
    {{- return(found | join) -}}

{%- endmacro %}
