"""Publish dbt's artifacts in the lake, for data catalogues: those of each run, and the latest beside the docs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from contract import layout
from contract.bucket import Bucket
from music_streams.batches import batch_id

if TYPE_CHECKING:
    from airflow.sdk import Context

RUN_RESULTS = Path("target") / "run_results.json"


def publish_artifact(bucket: Bucket, context: "Context", name: str, content: bytes) -> None:
    """Write one of dbt's artifacts twice: to the folder of the run, and beside the docs as the latest."""
    for folder in (_folder_of_run(context), layout.DBT_DOCS):
        bucket.write(f"{folder}/{name}", content, "application/json")


def keep_run_results(bucket: str, project_dir: str, context: "Context") -> None:
    """Keep a task's dbt results under the task's name; Cosmos calls this after each dbt command, failed ones too."""
    file = Path(project_dir) / RUN_RESULTS
    if file.exists():
        key = f"{_folder_of_run(context)}/{RUN_RESULTS.stem}/{context['ti'].task_id}.json"
        Bucket(bucket).write(key, file.read_bytes(), "application/json")


def results_of_run(bucket: Bucket, context: "Context") -> dict[str, Any] | None:
    """Merge the results that the run's tasks have kept into one `run_results.json` of dbt; None if they kept none."""
    keys = [found.key for found in bucket.objects(f"{_folder_of_run(context)}/{RUN_RESULTS.stem}/")]
    kept = [record for record in bucket.read_many_json(keys) if record is not None]
    if not kept:
        return None
    kept.sort(key=lambda record: str(record["metadata"]["generated_at"]))
    return kept[-1] | {
        "results": [result for record in kept for result in record["results"]],
        "elapsed_time": sum(record["elapsed_time"] for record in kept),
    }


def _folder_of_run(context: "Context") -> str:
    dag_run = context["dag_run"]
    return f"{layout.DBT_RUNS}/{batch_id(dag_run.run_after, dag_run.run_id)}"
