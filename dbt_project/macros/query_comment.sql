{#-
    Describes the origin of each statement in front of its text, of which Redshift's query logs (SYS_QUERY_HISTORY,
    STL_QUERY) keep the first 4,000 characters. Every `*` is removed, so that no value can end the comment.
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
