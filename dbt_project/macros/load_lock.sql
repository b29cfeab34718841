{#-
    Makes the loads of a KPI table run one after another: each locks a table beside its staging that nobody reads. LOCK
    is ACCESS EXCLUSIVE: on staging or mart it would block their readers, and their readers would block it.

    LOCK must be the first statement of the transaction. It takes no snapshot, so the statements after it, above all the
    guard, see the rows that the load before has committed (docs/redshift.md).
-#}
{% macro load_lock(staged) -%}

    {{- return(staged.incorporate(path={'identifier': staged.identifier ~ '_load_lock'}, type='table')) -}}

{%- endmacro %}


{% macro lock_loads(staged) -%}

    lock table {{ load_lock(staged) }}

{%- endmacro %}


{#- Makes the table to lock if it does not exist; the caller must commit the transaction that this begins. -#}
{% macro create_load_lock(staged) -%}

    {%- call statement('create_load_lock') -%}
        create table if not exists {{ load_lock(staged) }} (nothing boolean)
    {%- endcall -%}

{%- endmacro %}
