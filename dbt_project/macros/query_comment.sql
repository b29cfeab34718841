{#-
    What each statement is for, in front of its text, where Redshift's query logs (SYS_QUERY_HISTORY, STL_QUERY: the
    first 4,000 characters) keep it. Without `*`, nothing in it can end the comment.
-#}
{% macro query_comment(connection_name, node) -%}

    {%- set comment = {
        'app': 'dbt',
        'dbt_version': dbt_version,
        'target_name': target.name,
        'node_id': node.unique_id if node else connection_name,
        'batch_id': batch_id(),
        'invocation_id': invocation_id,
        'airflow_run_id': env_var('AIRFLOW_CTX_DAG_RUN_ID', ''),
    } -%}
    {{- return(tojson(comment) | replace('*', '')) -}}

{%- endmacro %}
