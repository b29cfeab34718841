"""Report how old the KPIs are: warn in the task's log, and publish dbt's result beside its docs."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException

from contract.bucket import Bucket
from music_streams.artifacts import publish_artifact

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

SOURCES = Path("target") / "sources.json"


def publish_freshness(project_dir: str, bucket: str, context: "Context") -> None:
    """Warn of old sources and publish dbt's result; Cosmos calls this after `dbt source freshness`.

    Raises:
        AirflowException: dbt could not query the age of some source; the last result stays published.
    """
    file = Path(project_dir) / SOURCES
    if not file.exists():
        return  # dbt wrote no results; Cosmos raises for its exit status
    content = file.read_bytes()
    results = json.loads(content)["results"]
    unknown = [f"{result['unique_id']}: {result['error']}" for result in results if result["status"] == "runtime error"]
    if unknown:
        raise AirflowException("\n".join(["dbt cannot determine how old sources are:", *unknown]))
    for result in results:
        if result["status"] != "pass":
            log.warning(_staleness(result))
    publish_artifact(Bucket(bucket), context, SOURCES.name, content)


def _staleness(result: dict[str, Any]) -> str:
    name = result["unique_id"].split(".")[-1]
    if result["max_loaded_at"].startswith("0001-"):  # dbt writes null as the year 1
        return f"source {name}: staging holds nothing of it"
    limit = result["criteria"]["warn_after"]
    return (
        f"source {name}: the newest KPIs were computed at {result['max_loaded_at']}, more than {limit['count']} "
        f"{limit['period']}s ago: does the DAG run daily, do files land, and do runs succeed?"
    )
