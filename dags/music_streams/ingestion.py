"""Ingest a batch: pin the landed files, validate the pinned bytes, and write the manifest that curation relies on."""

import io
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from contract import layout
from contract.bucket import (
    Bucket,
    GoneError,
    ReplacedError,
    in_parallel,
)
from contract.records import pending_batches
from music_streams.batches import DateRange, Landed, LeftLying, Pin, Uncopied, list_landed, pin_streams, pin_tables
from music_streams.new_tables import new_tables

if TYPE_CHECKING:
    from expectations.report import FileReport, ValidationReport

log = logging.getLogger(__name__)

OnInvalidStreamFile = Literal["fail", "quarantine"]
Outcome = Literal["compute", "nothing_to_do"]

READ_AHEAD = 1024**2
MAX_LEFT_REPORTED = 20


class DatasetsRefusedError(Exception):
    """Validation refuses the landed data; a retry with the same data would be refused again."""


def ingest_batch(
    bucket: Bucket,
    batch_id: str,
    *,
    on_invalid_stream_file: OnInvalidStreamFile,
    recompute: DateRange | None,
) -> dict[str, Any]:
    """Validate the landed files and make them a batch; if the batch was validated before, return its result unchanged.

    Returns:
        `outcome` (compute, nothing_to_do), `batch_id`, the counts `stream_files` and `quarantined_files`, and `left`:
        the first keys below the landing prefix that the pipeline does not take in.

    Raises:
        DatasetsRefusedError: a reference table has an error, or a stream file has one and must not be quarantined.
            The message names files, causes and values.
        LandingUnstableError: a producer replaced a file over and over; nothing was taken in.
    """
    folder = layout.BatchFolder(batch_id)
    validated = bucket.read_json(folder.curation_record) or bucket.read_json(folder.manifest)
    if validated is not None:
        log.info("Batch %s was validated before: its pins stand", batch_id)
        return _result("compute", batch_id, stream_files=len(validated["files"]))

    landed = list_landed(bucket)
    pending = pending_batches(bucket, besides=batch_id)
    if not (landed.streams or pending or recompute):
        return _nothing_to_do(bucket, batch_id, landed)

    bucket.s3.delete_object(Bucket=bucket.name, Key=folder.verdict)  # it would be an earlier attempt's
    batch_time = datetime.now(UTC)
    with ThreadPoolExecutor(1) as pool:
        # Importing Great Expectations takes seconds, in which S3 copies the files.
        importing = pool.submit(import_module, "expectations.validation")
        pins, uncopied = _pin(bucket, batch_id, landed)
        importing.result()
    report = _validate(bucket, pins, uncopied, landed.left, batch_time)
    refused = {file.name: file for file in report.files if not file.passed}
    refused_streams = [file for file in refused.values() if file.dataset == "user_streams"]
    may_go_on = on_invalid_stream_file == "quarantine" and len(refused) == len(refused_streams)
    report = replace(report, moves_refused=may_go_on)
    _write_results(bucket, batch_id, report)
    if refused and not may_go_on:
        raise DatasetsRefusedError(report.summary())
    write_verdict(bucket, batch_id, passed=True, message=report.summary())

    moved = [(pins[file.name], file) for file in refused_streams if file.name in pins]
    _quarantine(bucket, batch_id, moved)
    accepted = [file for file in report.files if file.dataset == "user_streams" and file.passed]
    if not (accepted or pending or recompute):
        return _nothing_to_do(bucket, batch_id, landed, quarantined_files=len(moved))
    for name, reference in (("songs.csv", layout.REFERENCE_SONGS), ("users.csv", layout.REFERENCE_USERS)):
        bucket.copy(pins[name].copy, reference)
    manifest: dict[str, Any] = {
        "batch_id": batch_id,
        "time": batch_time.isoformat(timespec="microseconds"),
        "files": [_manifest_entry(pins[file.name], file) for file in accepted],
        "recompute": recompute.as_record() if recompute else None,
    }
    if not bucket.create_json(folder.manifest, manifest):
        log.warning("Another attempt at batch %s was first: its pins stand", batch_id)
        manifest = bucket.read_json(folder.manifest) or manifest
    return _result("compute", batch_id, landed, stream_files=len(manifest["files"]), quarantined_files=len(moved))


def write_verdict(bucket: Bucket, batch_id: str, *, passed: bool, message: str) -> None:
    """Store the verdict for the task that ends the run."""
    bucket.write_json(layout.BatchFolder(batch_id).verdict, {"passed": passed, "message": message})


def refusal(bucket: Bucket, batch_id: str) -> str | None:
    """Return why validation refused the batch; None if it did not refuse it."""
    verdict = bucket.read_json(layout.BatchFolder(batch_id).verdict)
    return None if verdict is None or verdict["passed"] else str(verdict["message"])


def _pin(bucket: Bucket, batch_id: str, landed: Landed) -> tuple[dict[str, Pin], dict[str, Uncopied]]:
    tables = pin_tables(bucket, batch_id, [table for table in (landed.songs, landed.users) if table])
    streams = pin_streams(bucket, batch_id, landed.streams)
    pins = {_name(pin.landed.key): pin for pin in (*tables.pins, *streams.pins)}
    return pins, {_name(file.key): file for file in (*tables.uncopied, *streams.uncopied)}


def _name(key: str) -> str:
    return key.removeprefix(f"{layout.ROOT}/")


def _validate(
    bucket: Bucket,
    pins: dict[str, Pin],
    uncopied: dict[str, Uncopied],
    left: Sequence[LeftLying],
    batch_time: datetime,
) -> "ValidationReport":
    # Importing Great Expectations takes seconds, so it happens here and not while the DAG is parsed.
    from expectations.report import Ignored, LandedFile, UnreadFile  # noqa: PLC0415
    from expectations.validation import validate_files  # noqa: PLC0415

    def opener(pin: Pin) -> Callable[[], BinaryIO]:
        def stream() -> BinaryIO:
            body: Any = bucket.s3.get_object(Bucket=bucket.name, Key=pin.copy.key, IfMatch=pin.copy.etag)["Body"]
            return io.BufferedReader(body, READ_AHEAD)

        return stream

    files: list[LandedFile] = [
        LandedFile(dataset=_DATASETS.get(name, "user_streams"), name=name, open=opener(pin))
        for name, pin in pins.items()
    ]
    unread = [UnreadFile(_DATASETS.get(name, "user_streams"), name, file.reason) for name, file in uncopied.items()]
    return validate_files(
        files, batch_time=batch_time, unread=unread, ignored=[Ignored(item.key, item.reason) for item in left]
    )


_DATASETS = {"songs.csv": "songs", "users.csv": "users"}


def _write_results(bucket: Bucket, batch_id: str, report: "ValidationReport") -> None:
    from expectations.documents import documents  # noqa: PLC0415 - imports Jinja

    folder = layout.BatchFolder(batch_id)

    def write(document: tuple[str, tuple[bytes, str]]) -> None:
        name, (content, content_type) = document
        bucket.write(f"{folder.validation}/{name}", content, content_type)

    in_parallel(write, list(documents(report).items()))


def _quarantine(bucket: Bucket, batch_id: str, refused: Sequence[tuple[Pin, "FileReport"]]) -> None:
    folder = layout.BatchFolder(batch_id)

    def move(item: tuple[Pin, "FileReport"]) -> None:
        pin, file = item
        # The pin's name is unique to the version: an attempt that died here may have quarantined another version.
        target = f"{folder.quarantined_files}/{PurePosixPath(pin.copy.key).name}"
        reason = {
            "file": pin.landed.key,
            "etag": pin.landed.etag,
            "size": pin.landed.size,
            "reasons": [
                {"expectation": problem.expectation, "message": problem.finding, "examples": list(problem.examples)}
                for problem in file.errors
            ],
        }
        bucket.copy(pin.copy, target)
        bucket.write_json(f"{target}.reason.json", reason)
        try:
            bucket.delete(pin.landed)
        except (GoneError, ReplacedError) as error:
            log.warning("%s: what lies there now is the next run's", error)

    in_parallel(move, refused)
    for pin, file in refused:
        log.warning("Quarantined %s: %s", pin.landed.key, "; ".join(problem.finding for problem in file.errors))


def _manifest_entry(pin: Pin, file: "FileReport") -> dict[str, Any]:
    return {
        **pin.as_record(),
        "header": file.header,
        "columns": list(file.columns),
        "line_per_record": file.line_per_record,
        "rows": file.rows,
        "compression": file.compression,
    }


def _nothing_to_do(bucket: Bucket, batch_id: str, landed: Landed, *, quarantined_files: int = 0) -> dict[str, Any]:
    if new := new_tables(bucket):
        log.warning("%s (params recompute_from and recompute_to)", new.sentence())
    return _result("nothing_to_do", batch_id, landed, quarantined_files=quarantined_files)


def _result(
    outcome: Outcome,
    batch_id: str,
    landed: Landed | None = None,
    *,
    stream_files: int = 0,
    quarantined_files: int = 0,
) -> dict[str, Any]:
    return {
        "outcome": outcome,
        "batch_id": batch_id,
        "stream_files": stream_files,
        "quarantined_files": quarantined_files,
        "left": [item.key for item in landed.left[:MAX_LEFT_REPORTED]] if landed else [],
    }
