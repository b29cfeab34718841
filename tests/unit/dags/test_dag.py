"""Conventions of the DAG, so that nobody has to remember them."""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from music_streams.alerts import keep_error, put_metrics, send_message
from music_streams.artifacts import keep_run_results
from music_streams.dbt import raise_what_dbt_found
from music_streams.freshness import publish_freshness

from contract.jobs import CURATION_JOB
from contract.kpi_tables import KPI_TABLES, KpiTable
from sandbox import airflow
from sandbox.home import Home
from sandbox.settings import Ports
from tests.unit.dags.conftest import DAG_ID, REPOSITORY

if TYPE_CHECKING:
    from airflow.sdk import DAG

AIRFLOW_TEMPLATE = REPOSITORY / "infra" / "templates" / "airflow.yaml"
HEAVY = {
    *("altair", "dbt", "expectations", "glue_jobs", "great_expectations", "pandas", "pyspark", "redshift_connector"),
    *("report", "sandbox", "vl_convert"),
}
CURATION = ["trigger_spark_curate_user_streams_job_task", "wait_for_spark_curate_user_streams_job_completion_task"]

# The tasks of each KPI table: those that trigger its Glue job and wait for it, and the group that loads it.
TRIGGER = {table: f"trigger_spark_{table.name}_job_task" for table in KPI_TABLES}
WAIT = {table: f"wait_for_spark_{table.name}_job_completion_task" for table in KPI_TABLES}
GROUP = {table: f"write_{table.name}_to_redshift" for table in KPI_TABLES}


def upstream_of(dag: "DAG", task_id: str) -> set[str]:
    return set(dag.get_task(task_id).upstream_task_ids)


def all_before(dag: "DAG", task_id: str) -> set[str]:
    return {task.task_id for task in dag.get_task(task_id).get_flat_relatives(upstream=True)}


def members(dag: "DAG", group: str) -> dict[str, Any]:
    return {task.task_id: task for task in dag.tasks if task.task_id.startswith(f"{group}.")}


def loads(dag: "DAG") -> dict[str, Any]:
    return {task_id: task for group in GROUP.values() for task_id, task in members(dag, group).items()}


def test_the_only_dag_runs_daily_from_a_fixed_date_one_run_at_a_time(dag: "DAG") -> None:
    assert dag.dag_id == DAG_ID
    assert str(dag.schedule) == "@daily"
    assert dag.start_date == datetime(2024, 6, 1, tzinfo=UTC)
    assert str(dag.timezone) == "UTC"
    assert dag.catchup is False
    assert dag.max_active_runs == 1
    assert dag.tags == {"music-streams"}


def test_every_task_keeps_its_error_and_the_run_tells_of_it_once(dag: "DAG") -> None:
    for task in dag.tasks:
        assert task.on_failure_callback == [keep_error], task.task_id
        assert not task.on_retry_callback, "a try that will be repeated is nobody's alarm"
    on_failure: Any = dag.on_failure_callback
    on_success: Any = dag.on_success_callback
    assert [(callback.func, callback.args[1:]) for callback in on_failure] == [
        (send_message, ()),
        (put_metrics, ("RunsFailed",)),
    ]
    assert (on_success.func, on_success.args[1:]) == (put_metrics, ("RunsSucceeded",))


def test_the_tasks_stand_in_this_order(dag: "DAG") -> None:
    outside_groups = {task.task_id for task in dag.tasks if "." not in task.task_id}
    assert outside_groups == {
        "validate_datasets",
        "check_validation",
        "end_dag",
        *CURATION,
        *TRIGGER.values(),
        *WAIT.values(),
        "test_kpis_reconcile",
        "check_source_freshness",
        "move_files",
        "publish_dbt_docs",
        "publish_kpi_report",
    }
    assert set(dag.task_group.children) - outside_groups == set(GROUP.values())
    assert upstream_of(dag, "validate_datasets") == set()
    assert upstream_of(dag, "check_validation") == {"validate_datasets"}
    assert upstream_of(dag, "end_dag") == {"check_validation"}
    assert upstream_of(dag, CURATION[0]) == {"check_validation"}
    assert upstream_of(dag, CURATION[1]) == {CURATION[0]}
    for table in KPI_TABLES:
        assert upstream_of(dag, TRIGGER[table]) == {CURATION[1]}
        assert upstream_of(dag, WAIT[table]) == {TRIGGER[table]}
    assert upstream_of(dag, "move_files") == {"test_kpis_reconcile"}
    assert upstream_of(dag, "publish_dbt_docs") == upstream_of(dag, "publish_kpi_report") == {"move_files"}
    assert upstream_of(dag, "check_source_freshness") == {"end_dag", "test_kpis_reconcile"}


def test_each_mart_is_written_after_its_own_job_only(dag: "DAG") -> None:
    for table in KPI_TABLES:
        tasks = members(dag, GROUP[table])
        assert tasks
        for task_id in tasks:
            assert set(WAIT.values()) & all_before(dag, task_id) == {WAIT[table]}


def test_the_files_move_only_after_every_task_of_all_groups_and_the_reconciliation(dag: "DAG") -> None:
    before = all_before(dag, "move_files")
    assert {*loads(dag), "test_kpis_reconcile"} <= before
    assert "end_dag" not in before


@pytest.mark.parametrize("table", KPI_TABLES, ids=lambda table: table.name)
def test_a_mart_is_built_after_its_staging_was_built_and_tested(dag: "DAG", table: KpiTable) -> None:
    group = GROUP[table]
    assert f"{group}.stg_{table.name}_model_build" in all_before(dag, f"{group}.{table.name}_model_build")
    for task in members(dag, group).values():
        assert task.base_cmd == ["build"], "builds hold their model's tests, and fail with them"
        assert (task.select.startswith("fqn:"), task.exclude) == (True, "tag:reconciliation")


def test_dbt_learns_the_batch_and_leaves_unit_tests_alone(dag: "DAG") -> None:
    for task in [*loads(dag).values(), dag.get_task("test_kpis_reconcile")]:
        assert task.env == {
            "MUSIC_STREAMS_BATCH_ID": "{{ batch_id(dag_run.run_after, run_id) }}",
            "DBT_EXCLUDE_RESOURCE_TYPES": "unit_test",
        }
        assert not task.vars
        assert (task.install_deps, task.emit_datasets, task.append_env) == (False, False, True)
        keeps, raises = task.callback
        assert (keeps.func, keeps.args) == (keep_run_results, ("music-lake",))
        assert raises is raise_what_dbt_found, "last: what it raises ends the task"


def test_every_data_test_runs_in_one_task_once_all_it_reads_is_loaded(
    dag: "DAG", dag_environment: dict[str, str]
) -> None:
    nodes = json.loads(Path(dag_environment["MUSIC_STREAMS_DBT_MANIFEST"]).read_text())["nodes"]
    parents = {key: {up for up in node["depends_on"]["nodes"] if up in nodes} for key, node in nodes.items()}
    builds: dict[str, Any] = {
        key: next(task for task in dag.tasks if task.task_id.endswith(f".{node['name']}_model_build"))
        for key, node in nodes.items()
        if node["resource_type"] == "model" and "reports" not in node["tags"]
    }

    def ancestors(key: str) -> set[str]:
        return parents[key].union(*(ancestors(up) for up in parents[key]))

    def runs(test: str, model: str) -> bool:
        """Whether `dbt build --select model` runs the test."""
        return model in parents[test] and parents[test] <= {model, *ancestors(model)}

    for test, node in nodes.items():
        if node["resource_type"] == "test" and "reconciliation" not in node["tags"] and parents[test] <= {*builds}:
            running = [builds[model] for model in builds if runs(test, model)]
            assert len(running) == 1, f"{node['name']} runs in {running}"
            loaded = {running[0].task_id, *all_before(dag, running[0].task_id)}
            assert {builds[model].task_id for model in parents[test]} <= loaded, f"{node['name']} runs too early"


def test_the_reconciliation_runs_its_tests_and_makes_the_reports(dag: "DAG") -> None:
    task: Any = dag.get_task("test_kpis_reconcile")
    assert (task.base_cmd, task.select) == (["build"], "tag:reconciliation tag:reports")
    assert task.exclude == "tag:reports,resource_type:test"


def test_the_freshness_of_the_sources_is_published_with_the_docs(dag: "DAG") -> None:
    task: Any = dag.get_task("check_source_freshness")
    assert task.base_cmd == ["source", "freshness"]
    assert (task.callback, task.callback_args) == (publish_freshness, {"bucket": "music-lake"})
    reconcile: Any = dag.get_task("test_kpis_reconcile")
    assert task.env == reconcile.env
    assert (task.install_deps, task.emit_datasets, task.append_env) == (False, False, True)


def test_the_marts_assets_are_updated_once_all_marts_are_tested_and_agree_and_not_before(dag: "DAG") -> None:
    updated = {task.task_id: [asset.name for asset in task.outlets] for task in dag.tasks if task.outlets}
    assert updated == {"test_kpis_reconcile": [table.name for table in KPI_TABLES]}


def test_only_the_branch_runs_after_a_failure(dag: "DAG") -> None:
    rules = {task.task_id: task.trigger_rule.value for task in dag.tasks}
    assert rules.pop("check_validation") == "all_done"
    assert rules.pop("check_source_freshness") == "none_failed_min_one_success", "it follows both branches"
    assert set(rules.values()) == {"all_success"}


def test_every_task_is_retried(dag: "DAG") -> None:
    assert {task.retries for task in dag.tasks} == {2}
    assert {task.retry_delay for task in dag.tasks} == {timedelta(seconds=30)}


def test_no_task_may_hang(dag: "DAG") -> None:
    assert dag.dagrun_timeout
    for task in dag.tasks:
        assert task.execution_timeout, task.task_id
        assert task.execution_timeout < dag.dagrun_timeout, task.task_id


def test_waiting_takes_no_worker_slot_and_outlasts_the_jobs(dag: "DAG") -> None:
    for task_id in (CURATION[1], *WAIT.values()):
        task: Any = dag.get_task(task_id)
        assert task.mode == "reschedule"
        assert task.poke_interval == 60
        assert timedelta(seconds=task.timeout) == task.execution_timeout >= timedelta(hours=4)


def test_triggers_start_the_jobs_that_exist_and_do_not_wait(dag: "DAG") -> None:
    names = {CURATION[0]: CURATION_JOB, **{TRIGGER[table]: table.glue_job for table in KPI_TABLES}}
    for task_id, job_name in names.items():
        task: Any = dag.get_task(task_id)
        assert task.job_name == job_name
        assert (task.wait_for_completion, task.deferrable, task.update_config) == (False, False, False)
        assert (task.script_location, task.iam_role_name, task.sleep_before_return) == (None, None, 0)
        assert task.aws_conn_id is None


def test_the_jobs_get_what_to_work_on(dag: "DAG") -> None:
    curation: Any = dag.get_task(CURATION[0])
    everywhere = {
        "--bucket": "music-lake",
        "--batch_id": "{{ batch_id(dag_run.run_after, run_id) }}",
    }
    assert curation.script_args == {**everywhere, "--max_reject_rate": "{{ params.max_reject_rate }}"}
    for table in KPI_TABLES:
        task: Any = dag.get_task(TRIGGER[table])
        assert task.script_args == {**everywhere, "--kpi_table": table.name}


def test_params_take_what_they_describe_and_nothing_else(dag: "DAG") -> None:
    from airflow.sdk.exceptions import ParamValidationError  # noqa: PLC0415

    defaults = {"on_invalid_stream_file": "fail", "max_reject_rate": 0.05, "recompute_from": None, "recompute_to": None}
    assert dag.params.dump() == defaults
    good: dict[str, list[Any]] = {
        "on_invalid_stream_file": ["quarantine"],
        "max_reject_rate": [0, 1, 0.5],
        "recompute_from": ["2024-06-25"],
        "recompute_to": ["2024-06-25"],
    }
    bad: dict[str, list[Any]] = {
        "on_invalid_stream_file": ["ignore", None],
        "max_reject_rate": [-0.01, 1.01, "0.05"],
        "recompute_from": ["25.06.2024", "2024-06-31", 20240625],
        "recompute_to": ["tomorrow"],
    }
    for name, values in good.items():
        for value in values:
            assert dag.params.get_param(name).resolve(value) == value
    for name, values in bad.items():
        for value in values:
            with pytest.raises(ParamValidationError):
                dag.params.get_param(name).resolve(value)


def test_airflow_waits_as_long_for_the_dag_on_mwaa_as_in_the_sandbox(tmp_path: Path) -> None:
    of_sandbox = airflow.variables(Home(tmp_path), Ports(1, 2, 3))

    for section, name in (("core", "dagbag_import_timeout"), ("dag_processor", "dag_file_processor_timeout")):
        (on_mwaa,) = re.findall(rf'"{section}.{name}": "(\d+)"', AIRFLOW_TEMPLATE.read_text())
        assert of_sandbox[f"AIRFLOW__{section.upper()}__{name.upper()}"] == on_mwaa


def test_parsing_imports_nothing_heavy_and_starts_no_dbt(dag_environment: dict[str, str]) -> None:
    program = f"""
import json, sys
started = []
STARTS = {{"subprocess.Popen", "os.exec", "os.fork", "os.posix_spawn", "os.system"}}
sys.addaudithook(lambda event, arguments: started.append(repr(arguments[:2])) if event in STARTS else None)
import {DAG_ID}
print(json.dumps([sorted(sys.modules), started]))
"""
    parsed = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **dag_environment, "PYTHONPATH": str(REPOSITORY / "dags")},
        check=True,
        capture_output=True,
        text=True,
    )
    modules, started = json.loads(parsed.stdout.splitlines()[-1])
    assert {module.partition(".")[0] for module in modules} & HEAVY == set()
    assert not [program for program in started if "dbt" in program]


def test_the_picture_in_the_readme_has_the_tasks_and_groups_of_the_dag(dag: "DAG") -> None:
    readme = (REPOSITORY / "README.md").read_text()
    picture = re.findall(r"```mermaid\n(.*?)```", readme, re.DOTALL)[0]
    assert set(re.findall(r"[\[(]([a-z]\w+_\w+)[\])]", picture)) == set(dag.task_group.children)
