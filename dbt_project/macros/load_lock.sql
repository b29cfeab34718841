{#-
    What the loads of a KPI table queue up at: LOCK on a table beside its staging that nobody reads. A lock on staging or
    mart would stop their readers, and their readers would stop it (it is ACCESS EXCLUSIVE).

    It must be the first statement of the transaction. LOCK takes no snapshot, so whatever follows, the guard above all,
    sees what the load before has committed (docs/redshift.md).
-#}
{% macro load_lock(staged) -%}

    {{- return(staged.incorporate(path={'identifier': staged.identifier ~ '_load_lock'}, type='table')) -}}

{%- endmacro %}


{% macro lock_loads(staged) -%}

    lock table {{ load_lock(staged) }}

{%- endmacro %}


{#- Makes the table to lock where there is none; the transaction that it begins is the caller's to commit. -#}
{% macro create_load_lock(staged) -%}

    {%- call statement('create_load_lock') -%}
        create table if not exists {{ load_lock(staged) }} (nothing boolean)
    {%- endcall -%}

{%- endmacro %}
