"""What to do about a failed run: commands ready to paste, each right for the case at hand."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from contract import layout
from contract.bucket import Bucket
from contract.datasets import USER_STREAMS
from contract.rejections import rate_that_allows
from sandbox import quarantine
from sandbox.landing import remove_command

VALIDATION = "validate_datasets"
CURATION = "wait_for_spark_curate_user_streams_job_completion_task"
MOST_FILES_SHOWN = 3


@dataclass(frozen=True)
class WayOut:
    """A command, and what somebody wants who types it."""

    purpose: str
    command: str


def run_command(params: Mapping[str, Any]) -> str:
    """The command that runs the pipeline over what waits, landing nothing new."""
    return f"make run PARAMS={quote(json.dumps(dict(params)))}"


def ways_out(bucket: Bucket, batch: str, failed_task: str, folder: Path | None) -> list[WayOut]:
    """The commands that lead out of a failed run, the one that loses nothing first.

    Args:
        bucket: The lake.
        batch: The failed run's.
        failed_task: The one that is to blame.
        folder: What `make run DATA=` has landed last; None when it never has.
    """
    again = [WayOut("once it is mended", f"make run DATA={quote(str(folder))}")] if folder else []
    if failed_task == VALIDATION:
        return _of_refused_files(bucket, batch, again)
    if failed_task == CURATION:
        record = bucket.read_json(layout.BatchFolder(batch).rejected_record)
        if record is not None:
            return _of_rejected_rows(record, again)
    return [WayOut("to try again", run_command({}))]


def _of_refused_files(bucket: Bucket, batch: str, again: list[WayOut]) -> list[WayOut]:
    results = bucket.read_json(f"{layout.BatchFolder(batch).validation}/summary.json")
    if results is None:  # it came to no result: its error says what it lacks
        return [WayOut("to try again", run_command({}))]
    refused = [file for file in results["files"] if not file["passed"]]
    streams = [file for file in refused if file["dataset"] == USER_STREAMS.name]
    # What cannot be copied to be read cannot be copied into quarantine: its message says what to do.
    readable = [file["name"] for file in streams if not file["problems"][0]["message"].startswith(_unread(file))]
    # Neither leads out while songs.csv or users.csv is refused: no run goes on without them.
    go_on = [WayOut("to go on without", run_command({"on_invalid_stream_file": "quarantine"}))]
    take_away = [WayOut("to take it away", remove_command(name)) for name in readable[:MOST_FILES_SHOWN]]
    return again + (go_on + take_away if len(streams) == len(refused) else [])


def _unread(file: Mapping[str, Any]) -> str:
    return f"{file['name']} cannot be copied"


def _of_rejected_rows(record: Mapping[str, Any], again: list[WayOut]) -> list[WayOut]:
    ways = [WayOut("to see the rows", quarantine.command(record["batch_id"])), *again]
    if enough := rate_that_allows(record["rows_rejected"], record["rows_read"]):
        ways.append(WayOut("to go on without", run_command({"max_reject_rate": enough})))
    return ways
