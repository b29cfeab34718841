"""What becomes of a dbt task that failed, and what of dbt's artifacts is published."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException
from cosmos.operators.local import DbtDocsS3LocalOperator

from contract import layout
from contract.bucket import Bucket

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

RUN_RESULTS = Path("target") / "run_results.json"
SOURCES = Path("target") / "sources.json"


class PublishDbtDocs(DbtDocsS3LocalOperator):  # type: ignore[misc]  # Cosmos has no types
    """Generates the dbt docs as one page, which needs no other file, and puts it into the lake.

    A page that dbt could not finish does not replace the last one.
    """

    def __init__(self, **arguments: Any) -> None:
        """Takes what Cosmos' local operators take, and `bucket_name`."""
        super().__init__(connection_id=None, folder_dir=layout.DBT_DOCS, dbt_cmd_flags=["--static"], **arguments)

    def upload_to_cloud_storage(self, project_dir: str, **context: Any) -> None:
        """Cosmos calls this after dbt, before it judges the exit status."""
        catalog = Path(project_dir) / "target" / "catalog.json"
        if catalog.exists() and not json.loads(catalog.read_text())["errors"]:
            super().upload_to_cloud_storage(project_dir, **context)


def raise_what_dbt_found(project_dir: str, context: "Context") -> None:  # noqa: ARG001
    """Cosmos calls this after each dbt command, before it judges the exit status. Warnings go to the task's log.

    Raises:
        AirflowFailException: tests failed; the task is not retried: the same data would fail again, or worse, pass.
        AirflowException: dbt could not run something; the task is retried.
    """
    file = Path(project_dir) / RUN_RESULTS
    if not file.exists():
        return  # dbt came to no results, and Cosmos raises for its exit status
    results = json.loads(file.read_text())["results"]
    for result in results:
        if result["status"] == "warn":
            log.warning(_sentence(result))
    failed = [_sentence(result) for result in results if result["status"] == "fail"]
    broken = [_sentence(result) for result in results if result["status"] in {"error", "runtime error"}]
    if failed:
        raise AirflowFailException("\n".join(["dbt tests failed, and are not retried:", *failed, *broken]))
    if broken:
        raise AirflowException("\n".join(["dbt failed:", *broken]))


def publish_freshness(project_dir: str, bucket: str, context: "Context") -> None:  # noqa: ARG001
    """Cosmos calls this after `dbt source freshness`. Old sources are warnings in the log; the result goes to the docs.

    Raises:
        AirflowException: dbt could not ask for some source's age; the last result stays published.
    """
    file = Path(project_dir) / SOURCES
    if not file.exists():
        return  # dbt came to no results, and Cosmos raises for its exit status
    content = file.read_bytes()
    results = json.loads(content)["results"]
    unknown = [f"{result['unique_id']}: {result['error']}" for result in results if result["status"] == "runtime error"]
    if unknown:
        raise AirflowException("\n".join(["dbt cannot tell how fresh sources are:", *unknown]))
    for result in results:
        if result["status"] != "pass":
            log.warning(_staleness(result))
    Bucket(bucket).write(layout.DBT_SOURCES, content)


def _staleness(result: dict[str, Any]) -> str:
    name = result["unique_id"].split(".")[-1]
    if result["max_loaded_at"].startswith("0001-"):  # what dbt makes of null
        return f"source {name}: staging holds nothing of it"
    limit = result["criteria"]["warn_after"]
    return (
        f"source {name}: the newest KPIs were computed at {result['max_loaded_at']}, more than {limit['count']} "
        f"{limit['period']}s ago: does the DAG run daily, do files land, and do runs succeed?"
    )


def _sentence(result: dict[str, str]) -> str:
    kind, _, name = result["unique_id"].partition(".")
    sentence = f"{kind} {name.split('.')[1]}: {result['message']}"
    if result["status"] in {"fail", "warn"} and (table := result["relation_name"]):
        sentence += f"; the rows are in {table.lower()}"
    return sentence
