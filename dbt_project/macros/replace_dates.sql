{#-
    How a mart takes a batch: `incremental_strategy='replace_dates'`. A date is replaced as a whole or not at all: the
    model's SELECT decides which (its guard), then their vanished keys are deleted and their rows merged, in one
    transaction that began by locking out other loads.
-#}

{#-
    The SELECT of a mart: the rows of the staged dates that are not behind the mart's, but for what only the tests of
    staging need. `staging` is the name of the model that holds one batch.
-#}
{% macro replace_dates(staging) -%}

    {{- config(pre_hook=[
        before_begin("{{ assert_loadable(this, ref('" ~ staging ~ "')) }}"),
        "{{ lock_loads(ref('" ~ staging ~ "')) }}",
        "{{ assert_staged_batch(ref('" ~ staging ~ "')) }}",
    ]) -}}

    with

    staged as (

        select * from {{ ref(staging) }}

    ),

    staged_dates as (

        {{ plays_by_date('staged') }}

    ),

    {% if is_incremental() %}

    loaded_dates as (

        {{ plays_by_date(this) }}

    ),

    taken_dates as (

        select staged_dates.listen_date
        from staged_dates
        left join loaded_dates
            on staged_dates.listen_date = loaded_dates.listen_date
        where
            loaded_dates.listen_date is null
            or {{ is_not_behind('staged_dates', 'loaded_dates') }}

    )

    {% else %}

    taken_dates as (

        select listen_date from staged_dates

    )

    {% endif %}

    select
        {% for column in model.columns if column != 'loaded_at' -%}
            staged.{{ column }},
        {% else -%}
            staged.*, {# in a unit test, which knows no contract #}
        {% endfor -%}
        getdate() as loaded_at
    from staged
    inner join taken_dates
        on staged.listen_date = taken_dates.listen_date

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


{#- The strategy: dbt's merge, preceded by the deletion of keys that the taken dates no longer hold. -#}
{% macro get_incremental_replace_dates_sql(arg_dict) %}

    {%- set mart = arg_dict['target_relation'] -%}
    {%- set taken = arg_dict['temp_relation'] -%}

    {#- A statement of its own: of several in one, only the first carries the query comment. -#}
    {%- call statement('delete_vanished_keys') -%}
    delete from {{ mart }}
    where listen_date in (select listen_date from {{ taken }})
    and not exists (
        select 1
        from {{ taken }} as taken
        where
            {% for column in arg_dict['unique_key'] -%}
            taken.{{ column }} = {{ mart }}.{{ column }}{{ ' and' if not loop.last }}
            {% endfor %}
    )
    {%- endcall -%}

    {{ get_incremental_merge_sql(arg_dict) }}

{% endmacro %}
