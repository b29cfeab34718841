"""The daily run: validate what has landed, compute its KPIs on Glue, load them into Redshift, archive the input."""

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import cosmos.settings
from airflow.providers.amazon.aws.operators.glue import GlueJobOperator
from airflow.providers.standard.operators.python import BranchPythonOperator, PythonOperator
from airflow.sdk import DAG, Asset, Param
from cosmos import (
    DbtBuildLocalOperator,
    DbtTaskGroup,
    ExecutionConfig,
    ExecutionMode,
    InvocationMode,
    LoadMode,
    ProjectConfig,
    RenderConfig,
    TestBehavior,
    TestIndirectSelection,
)
from cosmos.operators.local import DbtSourceLocalOperator
from music_streams import alerts, tasks
from music_streams.artifacts import keep_run_results
from music_streams.batches import batch_id, unknown_params
from music_streams.dbt import PublishDbtDocs, raise_what_dbt_found
from music_streams.dbt_profile import ProfileOfTask
from music_streams.freshness import publish_freshness
from music_streams.glue_sensor import GlueRunSensor
from music_streams.settings import Settings

from contract import variables
from contract.jobs import CURATION_JOB, curation_arguments, kpi_arguments
from contract.kpi_tables import KPI_TABLES

SETTINGS = Settings.from_environment()

RUN_ID = "{{ run_id }}"
BATCH_ID = "{{ batch_id(dag_run.run_after, run_id) }}"
OUTCOME = "{{ (ti.xcom_pull(task_ids='validate_datasets') or {}).get('outcome', 'failed') }}"

# Rescheduling costs a process start per poll; poking holds a worker slot. If a task returns before the executor has
# reported its last poll, which may take seconds, Airflow marks it lost.
GLUE_WAIT_MODE = "reschedule" if SETTINGS.glue_poll_seconds >= 30 else "poke"

# Glue queues a run behind another one of its job only if the start request asks for it, whatever the job's own setting.
QUEUED = {"JobRunQueuingEnabled": True}
GLUE_WAIT_LIMIT = timedelta(hours=4)  # longer than the timeouts of the run and of a run queued ahead of it together

DBT_ENVIRONMENT = {
    variables.BATCH_ID.name: BATCH_ID,  # if --vars changed with each run, dbt would parse the whole project again
    "DBT_EXCLUDE_RESOURCE_TYPES": "unit_test",
}
DBT_PROJECT = ProjectConfig(
    dbt_project_path=SETTINGS.dbt_project_dir,
    models_relative_path="dbt_project/models",
    manifest_path=SETTINGS.dbt_manifest,
    project_name="music_streams",
    install_dbt_deps=False,
    env_vars=DBT_ENVIRONMENT,
)
DBT_PROFILES = SETTINGS.dbt_profiles_dir / "profiles.yml"
DBT_PROFILE = ProfileOfTask(
    profile_name="music_streams",
    target_name=SETTINGS.dbt_target,
    profiles_yml_filepath=DBT_PROFILES,
)
# Cosmos caches dbt's partial parsing for its task groups only; other operators would parse the whole project each time.
DBT_CACHE = Path(cosmos.settings.cache_dir) / Path(__file__).stem
# LOCAL, because in WATCHER mode a cleared task may succeed on the results of its first try, without loading anything.
DBT_EXECUTION = ExecutionConfig(
    execution_mode=ExecutionMode.LOCAL,
    invocation_mode=InvocationMode.SUBPROCESS,
    dbt_executable_path=SETTINGS.dbt_executable,
    test_indirect_selection=TestIndirectSelection.BUILDABLE,
)
# The same settings for dbt operators outside the task groups.
DBT_OPERATOR: dict[str, Any] = {
    "project_dir": SETTINGS.dbt_project_dir,
    "profile_config": DBT_PROFILE,
    "cache_dir": DBT_CACHE,
    "dbt_executable_path": SETTINGS.dbt_executable,
    "invocation_mode": InvocationMode.SUBPROCESS,
    "env": DBT_ENVIRONMENT,
    "install_deps": False,
    "emit_datasets": False,
}
AFTER_DBT = [partial(keep_run_results, SETTINGS.bucket), raise_what_dbt_found]

with DAG(
    dag_id=Path(__file__).stem,
    description="Validate the landed streams, compute their KPIs on Glue, load them into Redshift, archive them",
    doc_md=__doc__,
    schedule=SETTINGS.schedule,
    start_date=datetime(2024, 6, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        "owner": "music-streams",
        "retries": 2,
        "retry_delay": timedelta(seconds=SETTINGS.retry_seconds),
        "execution_timeout": timedelta(minutes=10),
        "on_failure_callback": alerts.keep_error,
    },
    on_success_callback=partial(alerts.put_metrics, SETTINGS, "RunsSucceeded"),
    on_failure_callback=[
        partial(alerts.send_message, SETTINGS),
        partial(alerts.put_metrics, SETTINGS, "RunsFailed"),
    ],
    dagrun_timeout=timedelta(hours=12),
    user_defined_macros={"batch_id": batch_id, "unknown_params": unknown_params},
    params={
        "on_invalid_stream_file": Param(
            "fail",
            enum=["fail", "quarantine"],
            description="What becomes of a stream file that fails validation: fail the run, or move the file aside.",
        ),
        "max_reject_rate": Param(
            0.05,
            type="number",
            minimum=0,
            maximum=1,
            description="Share of a batch's rows that may be rejected before the run fails.",
        ),
        "recompute_from": Param(
            None,
            type=["null", "string"],
            format="date",
            description="First date whose KPIs are rebuilt from the curated events; give recompute_to too.",
        ),
        "recompute_to": Param(
            None, type=["null", "string"], format="date", description="Last date whose KPIs are rebuilt."
        ),
    },
    tags=["music-streams"],
) as dag:
    validate_datasets = PythonOperator(
        task_id="validate_datasets",
        python_callable=tasks.validate_datasets,
        op_kwargs={
            "bucket": SETTINGS.bucket,
            "batch_id": BATCH_ID,
            "on_invalid_stream_file": "{{ params.on_invalid_stream_file }}",
            "recompute_from": "{{ params.recompute_from or '' }}",
            "recompute_to": "{{ params.recompute_to or '' }}",
            "unknown_params": "{{ unknown_params(dag_run.conf, dag.params) }}",
        },
        execution_timeout=timedelta(hours=1),
    )

    check_validation = BranchPythonOperator(
        task_id="check_validation",
        python_callable=tasks.check_validation,
        op_kwargs={
            "outcome": OUTCOME,
            "when_valid": "trigger_spark_curate_user_streams_job_task",
            "otherwise": "end_dag",
        },
        trigger_rule="all_done",  # validation may have failed
    )

    end_dag = PythonOperator(
        task_id="end_dag",
        python_callable=tasks.end_dag,
        op_kwargs={"bucket": SETTINGS.bucket, "batch_id": BATCH_ID, "run_id": RUN_ID, "outcome": OUTCOME},
    )

    trigger_curation = GlueJobOperator(
        task_id="trigger_spark_curate_user_streams_job_task",
        job_name=CURATION_JOB,
        script_args=curation_arguments(SETTINGS.bucket, BATCH_ID, "{{ params.max_reject_rate }}"),
        run_job_kwargs=QUEUED,
        wait_for_completion=False,
        deferrable=False,
        aws_conn_id=None,
    )
    wait_for_curation = GlueRunSensor(
        task_id="wait_for_spark_curate_user_streams_job_completion_task",
        job_name=trigger_curation.job_name,
        run_id=trigger_curation.output,
        trigger_task_id=trigger_curation.task_id,
        mode=GLUE_WAIT_MODE,
        poke_interval=SETTINGS.glue_poll_seconds,
        timeout=GLUE_WAIT_LIMIT,
        execution_timeout=GLUE_WAIT_LIMIT,
    )

    # This task builds the reports, which are views: the first run creates them, and a run after a release that changes
    # them replaces them. It skips their tests, which are for developers: the marts' tests have checked the data.
    # Only this task updates the marts' assets, because only now has each mart been tested and compared with the other.
    test_kpis_reconcile = DbtBuildLocalOperator(
        task_id="test_kpis_reconcile",
        **DBT_OPERATOR,
        select="tag:reconciliation tag:reports",
        exclude="tag:reports,resource_type:test",
        outlets=[Asset(table.name) for table in KPI_TABLES],
        callback=AFTER_DBT,
        execution_timeout=timedelta(hours=1),
    )

    # Runs on days without input too, when a warning matters most.
    check_source_freshness = DbtSourceLocalOperator(
        task_id="check_source_freshness",
        **DBT_OPERATOR,
        callback=publish_freshness,
        callback_args={"bucket": SETTINGS.bucket},
        trigger_rule="none_failed_min_one_success",  # behind both branches
    )

    move_files = PythonOperator(
        task_id="move_files",
        python_callable=tasks.move_files,
        op_kwargs={"bucket": SETTINGS.bucket, "batch_id": BATCH_ID, "run_id": RUN_ID},
        execution_timeout=timedelta(hours=1),
    )

    publish_dbt_docs = PublishDbtDocs(
        task_id="publish_dbt_docs",
        **DBT_OPERATOR,
        bucket_name=SETTINGS.bucket,
    )

    publish_kpi_report = PythonOperator(
        task_id="publish_kpi_report",
        python_callable=tasks.publish_kpi_report,
        op_kwargs={"bucket": SETTINGS.bucket, "profiles": str(DBT_PROFILES), "target": SETTINGS.dbt_target},
    )

    for table in KPI_TABLES:
        trigger_kpi_job = GlueJobOperator(
            task_id=f"trigger_spark_{table.name}_job_task",
            job_name=table.glue_job,
            script_args=kpi_arguments(SETTINGS.bucket, BATCH_ID, table),
            run_job_kwargs=QUEUED,
            wait_for_completion=False,
            deferrable=False,
            aws_conn_id=None,
        )
        wait_for_kpi_job = GlueRunSensor(
            task_id=f"wait_for_spark_{table.name}_job_completion_task",
            job_name=table.glue_job,
            run_id=trigger_kpi_job.output,
            trigger_task_id=trigger_kpi_job.task_id,
            mode=GLUE_WAIT_MODE,
            poke_interval=SETTINGS.glue_poll_seconds,
            timeout=GLUE_WAIT_LIMIT,
            execution_timeout=GLUE_WAIT_LIMIT,
        )
        write_kpis = DbtTaskGroup(
            group_id=f"write_{table.name}_to_redshift",
            project_config=DBT_PROJECT,
            profile_config=DBT_PROFILE,
            execution_config=DBT_EXECUTION,
            render_config=RenderConfig(
                load_method=LoadMode.DBT_MANIFEST,
                invocation_mode=InvocationMode.SUBPROCESS,
                test_behavior=TestBehavior.BUILD,
                select=[f"tag:{table.name}"],
                exclude=["tag:reconciliation"],
                emit_datasets=False,
            ),
            operator_args={"callback": AFTER_DBT, "execution_timeout": timedelta(hours=1)},
        )
        wait_for_curation >> trigger_kpi_job >> wait_for_kpi_job >> write_kpis >> test_kpis_reconcile

    validate_datasets >> check_validation >> [end_dag, trigger_curation]
    trigger_curation >> wait_for_curation
    [end_dag, test_kpis_reconcile] >> check_source_freshness
    test_kpis_reconcile >> move_files >> [publish_dbt_docs, publish_kpi_report]
