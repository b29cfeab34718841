{#-
    Loads a batch into a mart: `incremental_strategy='replace_dates'`. A date is replaced as a whole or not at all. The
    guard in the model's SELECT decides which dates are replaced; then their vanished keys are deleted and their rows
    merged, in one transaction, whose first statement locks out other loads.
-#}

{#-
    The SELECT of a mart: the rows of the staged dates that are not behind the mart's, without the columns that only the
    tests of staging need. `staging` is the name of the model that holds one batch.
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
            staged.*, {# in a unit test, where the model has no contract #}
        {% endfor -%}
        getdate() as loaded_at
    from staged
    inner join taken_dates
        on staged.listen_date = taken_dates.listen_date

{%- endmacro %}


{#- Selects each date of a relation with its version (plays, computed_at), which grows, since events are only added. -#}
{% macro plays_by_date(relation) -%}

    select
        listen_date,
        sum(listen_count) as plays,
        max(computed_at) as computed_at
    from {{ relation }}
    group by listen_date

{%- endmacro %}


{#- The guard: (plays, computed_at) of a staged date is not below the mart's. Redshift cannot compare row values. -#}
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


{#- The strategy: deletes the keys that the taken dates no longer hold, then runs dbt's merge. -#}
{% macro get_incremental_replace_dates_sql(arg_dict) %}

    {%- set mart = arg_dict['target_relation'] -%}
    {%- set taken = arg_dict['temp_relation'] -%}

    {#- Sent as a statement of its own, since only the first of several statements carries the query comment. -#}
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
