"""Decide whether a failed dbt task is retried, and publish the dbt docs."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException
from cosmos.operators.local import DbtDocsS3LocalOperator

from contract import layout
from contract.bucket import Bucket
from music_streams.artifacts import RUN_RESULTS, publish_artifact, results_of_run
from music_streams.docs_page import hide_macros_of_the_adapter

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

ARTIFACTS = ("manifest.json", "catalog.json")  # of `dbt docs generate`


class PublishDbtDocs(DbtDocsS3LocalOperator):  # type: ignore[misc]  # Cosmos has no types
    """Generates the dbt docs as one self-contained page, and puts it into the lake.

    Beside the page it puts, for data catalogues, dbt's manifest and catalog, and the results of everything that dbt has
    built and tested in the run. If dbt does not finish the docs, the last page and its artifacts stay.
    """

    def __init__(self, **arguments: Any) -> None:
        """Accepts the arguments of Cosmos' local operators, and `bucket_name`."""
        super().__init__(connection_id=None, folder_dir=layout.DBT_DOCS, dbt_cmd_flags=["--static"], **arguments)

    def upload_to_cloud_storage(self, project_dir: str, context: "Context", **_: Any) -> None:
        """Upload the page and its artifacts; Cosmos calls this after dbt, before it checks the exit status."""
        target = Path(project_dir) / "target"
        catalog = target / "catalog.json"
        if not catalog.exists() or json.loads(catalog.read_text())["errors"]:
            return
        artifacts = {name: (target / name).read_bytes() for name in ARTIFACTS}  # before the page changes them
        hide_macros_of_the_adapter(target)
        super().upload_to_cloud_storage(project_dir, context=context)
        bucket = Bucket(self.bucket_name)
        for name, content in artifacts.items():
            publish_artifact(bucket, context, name, content)
        if results := results_of_run(bucket, context):
            publish_artifact(bucket, context, RUN_RESULTS.name, json.dumps(results).encode())


def raise_what_dbt_found(project_dir: str, context: "Context") -> None:  # noqa: ARG001
    """Log dbt's warnings and raise its failures; Cosmos calls this after each dbt command, before it checks the status.

    Raises:
        AirflowFailException: tests failed; the task is not retried: the same data would fail again, or worse, pass.
        AirflowException: dbt could not run something; the task is retried.
    """
    file = Path(project_dir) / RUN_RESULTS
    if not file.exists():
        return  # dbt wrote no results; Cosmos raises for its exit status
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


def _sentence(result: dict[str, str]) -> str:
    kind, _, name = result["unique_id"].partition(".")
    sentence = f"{kind} {name.split('.')[1]}: {result['message']}"
    if result["status"] in {"fail", "warn"} and (table := result["relation_name"]):
        sentence += f"; the rows are in {table.lower()}"
    return sentence
