{#-
    How a mart takes a batch. A date is replaced as a whole or not at all: the model's SELECT decides which (its guard),
    then its vanished keys are deleted and its rows merged, in one transaction that began by locking the mart.
-#}

{#-
    First pre-hook of a mart: begins the transaction and locks the mart, if it exists, and its staging, before anything
    reads them. So the guard judges the rows that the merge meets, and nobody swaps staging in between.
-#}
{% macro lock_for_replacement(staged) -%}

    {%- set mart = load_cached_relation(this) -%}
    lock table {{ ([mart, staged] if mart else [staged]) | join(', ') }}

{%- endmacro %}


{#- How complete the dates of a relation are: its clock is (plays, computed_at), since events only grow. -#}
{% macro plays_by_date(relation) -%}

    select
        listen_date,
        sum(listen_count) as plays,
        max(computed_at) as computed_at
    from {{ relation }}
    group by listen_date

{%- endmacro %}


{#- The guard: (plays, computed_at) of a staged date is no smaller than the mart's. Redshift compares no row values. -#}
{% macro is_not_behind(staged, loaded) -%}

    {%- set may_shrink = var('allow_shrinking_dates') | string | lower == 'true' -%}
    (
        {{ staged }}.plays > {{ loaded }}.plays
        or (
            {% if not may_shrink %}{{ staged }}.plays = {{ loaded }}.plays
            and {% endif %}{{ staged }}.computed_at >= {{ loaded }}.computed_at
        )
    )

{%- endmacro %}


{#- dbt's merge, preceded by the deletion of keys that the taken periods (meta.replaced_by) no longer hold. -#}
{% macro redshift__get_incremental_merge_sql(arg_dict) -%}

    {%- set mart = arg_dict['target_relation'] -%}
    {%- set taken = arg_dict['temp_relation'] -%}
    {%- set period = config.meta_require('replaced_by') -%}

    {#- A statement of its own: of several in one, only the first carries the query comment. -#}
    {%- call statement('delete_vanished_keys') -%}
    delete from {{ mart }}
    where {{ period }} in (select {{ period }} from {{ taken }})
    and not exists (
        select 1
        from {{ taken }} as taken
        where
            {% for column in arg_dict['unique_key'] -%}
            taken.{{ column }} = {{ mart }}.{{ column }}{{ ' and' if not loop.last }}
            {% endfor %}
    )
    {%- endcall -%}

    {{ default__get_incremental_merge_sql(arg_dict) }}

{%- endmacro %}
