{#-
    Raises before the transaction of a load begins, if the load would fail later with an error that names no user: dbt's
    user may not write to the schema; or a reader holds a lock on the table of load_lock, for which the load would wait.
-#}
{% macro assert_loadable(relation, staged) -%}

    {%- if execute -%}
        {%- do assert_writable(relation) -%}
        {%- do assert_unread(load_lock(staged)) -%}
    {%- endif -%}

{%- endmacro %}


{% macro assert_writable(relation) -%}

    {%- set schemas = run_query(
        "select current_user as username, pg_get_userbyid(nspowner) as owner,"
        ~ " has_schema_privilege(current_user, nspname, 'create') as is_writable"
        ~ " from pg_namespace where nspname = '" ~ relation.schema ~ "'"
    ).rows -%}
    {%- for schema in schemas if not schema['is_writable'] -%}
        {%- do exceptions.raise_compiler_error(
            "User " ~ schema['username'] ~ " may not make tables in schema " ~ relation.schema ~ ", which is "
            ~ schema['owner'] ~ "'s. Let the owner allow it (`grant create on schema " ~ relation.schema ~ ' to "'
            ~ schema['username'] ~ '"`), or drop the schema and let dbt make it.'
        ) -%}
    {%- endfor -%}

{%- endmacro %}


{#- Loads take an exclusive lock in turn. Any other lock is a reader's, and lasts as long as its transaction. -#}
{% macro assert_unread(load_lock) -%}

    {%- set readers = run_query(
        "select transactions.pid, transactions.txn_owner as username, transactions.txn_start as since"
        ~ " from svv_transactions as transactions"
        ~ " inner join pg_class as class on transactions.relation = class.oid"
        ~ " inner join pg_namespace as namespace on class.relnamespace = namespace.oid"
        ~ " where transactions.granted and transactions.lock_mode <> 'AccessExclusiveLock'"
        ~ " and namespace.nspname = '" ~ load_lock.schema ~ "' and class.relname = '" ~ load_lock.identifier ~ "'"
    ).rows -%}
    {%- if readers -%}
        {%- set reader = readers[0] -%}
        {%- do exceptions.raise_compiler_error(
            "User " ~ reader['username'] ~ " has read " ~ load_lock ~ ", which is for loads to queue up at, and holds it in a"
            ~ " transaction that is open since " ~ reader['since'] ~ ". End that transaction, or the session (`select"
            ~ " pg_terminate_backend(" ~ reader['pid'] ~ ")`), and load again."
        ) -%}
    {%- endif -%}

{%- endmacro %}
