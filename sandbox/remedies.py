"""Remedies for a failed run: commands that fit the failure, ready to paste."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from music_streams.batches import has_name_too_long
from music_streams.ingestion import refusal

from contract import layout
from contract.bucket import Bucket
from contract.datasets import USER_STREAMS
from contract.rejections import rate_that_allows
from sandbox import quarantine
from sandbox.landing import remove_command, waiting

VALIDATION = "validate_datasets"
CURATION = "wait_for_spark_curate_user_streams_job_completion_task"
MOST_FILES_SHOWN = 3


@dataclass(frozen=True)
class Remedy:
    """A command, and the purpose of typing it."""

    purpose: str
    command: str


def run_command(params: Mapping[str, Any]) -> str:
    """Return the command that runs the pipeline on the waiting files, without landing new ones."""
    return f"make run PARAMS={quote(json.dumps(dict(params)))}"


def remedies(bucket: Bucket, batch: str, failed_task: str | None, folder: Path | None) -> list[Remedy]:
    """Return the commands that may remedy a failed run; none if its error says enough.

    Args:
        bucket: The lake.
        batch: The failed run's batch.
        failed_task: The task that caused the failure; None if no task has failed.
        folder: The folder that `make run DATA=` has landed last; None if it never has.
    """
    if failed_task == VALIDATION:
        results = bucket.read_json(f"{layout.BatchFolder(batch).validation}/summary.json")
        refused = [file for file in results["files"] if not file["passed"]] if results else []
        if refused:
            return _of_refused_files(refused, folder)
        if refusal(bucket, batch):  # of names or params, so a retry would fail again
            return _take_away(name for name in waiting(bucket) if has_name_too_long(f"{layout.ROOT}/{name}"))
    if failed_task == CURATION:
        record = bucket.read_json(layout.BatchFolder(batch).rejected_record)
        if record is not None:
            return _of_rejected_rows(record, folder)
    return [Remedy("to try again", run_command({}))]


def _of_refused_files(refused: list[dict[str, Any]], folder: Path | None) -> list[Remedy]:
    streams = [file for file in refused if file["dataset"] == USER_STREAMS.name]
    tables_at_fault = len(streams) < len(refused)
    ways = _land_again(folder, (file["name"] for file in refused), if_missing=tables_at_fault)
    if tables_at_fault:  # no run can go on without valid tables, even without the stream files
        return ways
    ways.append(Remedy("to go on without", run_command({"on_invalid_stream_file": "quarantine"})))
    # A file that cannot be copied to be read cannot be moved to quarantine either; its message names the remedy.
    return ways + _take_away(file["name"] for file in streams if not _is_unread(file))


def _of_rejected_rows(record: Mapping[str, Any], folder: Path | None) -> list[Remedy]:
    ways = [Remedy("to see the rows", quarantine.command(record["batch_id"]))]
    ways += _land_again(folder, (file["key"].removeprefix(f"{layout.ROOT}/") for file in record["files"]))
    if enough := rate_that_allows(record["rows_rejected"], record["rows_read"]):
        ways.append(Remedy("to go on without", run_command({"max_reject_rate": enough})))
    return ways


def _land_again(folder: Path | None, names: Iterable[str], *, if_missing: bool = False) -> list[Remedy]:
    """Return the command that lands the user's folder again, if it holds faulty files or should hold missing ones."""
    if folder is None or not (if_missing or any((folder / name).exists() for name in names)):
        return []
    return [Remedy("once it is corrected", f"make run DATA={quote(str(folder))}")]


def _take_away(names: Iterable[str]) -> list[Remedy]:
    return [Remedy("to take it away", remove_command(name)) for name in list(names)[:MOST_FILES_SHOWN]]


def _is_unread(file: Mapping[str, Any]) -> bool:
    return any(problem["message"].startswith(f"{file['name']} cannot be copied") for problem in file["problems"])
