"""How old the KPIs are: warnings in the log, and dbt's result beside its docs."""

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
    publish_artifact(Bucket(bucket), context, SOURCES.name, content)


def _staleness(result: dict[str, Any]) -> str:
    name = result["unique_id"].split(".")[-1]
    if result["max_loaded_at"].startswith("0001-"):  # what dbt makes of null
        return f"source {name}: staging holds nothing of it"
    limit = result["criteria"]["warn_after"]
    return (
        f"source {name}: the newest KPIs were computed at {result['max_loaded_at']}, more than {limit['count']} "
        f"{limit['period']}s ago: does the DAG run daily, do files land, and do runs succeed?"
    )
