"""The end of a batch: archive its input, record that the marts hold it, and delete it from the landing prefix."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from contract import layout
from contract.bucket import (
    Bucket,
    GoneError,
    ReplacedError,
    StoredObject,
    in_parallel,
)
from contract.kpi_tables import KPI_TABLES

log = logging.getLogger(__name__)


class BatchUnfinishedError(Exception):
    """The batch was not curated, or its KPIs were not computed."""


class InputLostError(Exception):
    """Bytes that the batch has counted are in neither the archive, nor the pins, nor the landing prefix."""


@dataclass(frozen=True)
class InputFile:
    """A stream file that a batch has counted: the landed version, its pin, and its key in the archive."""

    landed: StoredObject
    pin: str
    archived: str

    @classmethod
    def of(cls, batch_id: str, record: Mapping[str, Any]) -> "InputFile":
        """Make it from its entry in the batch's curation record."""
        landed = StoredObject(record["key"], record["etag"], record["size"])
        path = landed.key.removeprefix(f"{layout.USER_STREAMS}/")  # two folders may hold files of one name
        return cls(landed, record["copy"], f"{layout.BatchFolder(batch_id).archive}/{path}")


def finish_batch(bucket: Bucket, batch_id: str) -> dict[str, Any]:
    """Archive the stream files of the batch and of those it covered, record that both marts hold them, clear up.

    The order matters: if the task dies at any point, either the counted bytes are archived or their batch is still
    pending. The function is idempotent. A landed file that was replaced after it was pinned stays for the next run.

    Raises:
        BatchUnfinishedError: the curation record or a COPY manifest is missing.
        InputLostError: a file has neither a pin nor an archived copy, and the pinned version is gone from the landing
            prefix.
    """
    record = _record_of_computed_batch(bucket, batch_id)
    covers: list[str] = record["covers"]
    files = [
        InputFile.of(owner, file) for owner in (batch_id, *covers) for file in _curation_record(bucket, owner)["files"]
    ]

    in_parallel(lambda file: _archive(bucket, file), files)

    loaded_at = datetime.now(UTC).isoformat()
    about_it = {"batch_id": batch_id, "loaded_at": loaded_at, "covered": covers}
    bucket.create_json(layout.BatchFolder(batch_id).loaded_record, about_it)
    for covered in covers:
        about_it = {"batch_id": covered, "loaded_at": loaded_at, "covered_by": batch_id}
        bucket.create_json(layout.BatchFolder(covered).loaded_record, about_it)

    stayed = [key for key in in_parallel(lambda file: _clear(bucket, file), files) if key]
    if stayed:
        log.warning("%d files were replaced since they were pinned and stay for the next run: %s", len(stayed), stayed)
    return {
        "batch_id": batch_id,
        "covered": covers,
        "archived_files": len(files) - len(stayed),
        "replaced_files": len(stayed),
    }


def _record_of_computed_batch(bucket: Bucket, batch_id: str) -> dict[str, Any]:
    record = layout.BatchFolder(batch_id).curation_record
    manifests = [table.copy_manifest(batch_id) for table in KPI_TABLES]
    missing = bucket.missing([record, *manifests])
    if missing:
        msg = (
            f"batch {batch_id} cannot be archived, as s3://{bucket.name}/ lacks {', '.join(missing)}: "
            "clear trigger_spark_curate_user_streams_job_task with what follows it"
        )
        raise BatchUnfinishedError(msg)
    return _curation_record(bucket, batch_id)


def _curation_record(bucket: Bucket, batch_id: str) -> dict[str, Any]:
    record = bucket.read_json(layout.BatchFolder(batch_id).curation_record)
    if record is None:
        msg = f"batch {batch_id} has no curation record, though a later batch covers it"
        raise BatchUnfinishedError(msg)
    return record


def _archive(bucket: Bucket, file: InputFile) -> None:
    """Copy a file from its pin. If the pin is gone, the archive or the landing prefix must still hold the file."""
    try:
        bucket.copy(bucket.head(file.pin), file.archived)
    except GoneError:
        if bucket.missing([file.archived]):
            _archive_what_landed(bucket, file)


def _archive_what_landed(bucket: Bucket, file: InputFile) -> None:
    try:
        bucket.copy(file.landed, file.archived)
    except (GoneError, ReplacedError) as error:
        msg = (
            f"{file.landed.key} was counted, but its pin {bucket.url(file.pin)} has gone, {file.archived} does "
            f"not exist, and {error}: restore the pin (the bucket keeps old versions), then clear move_files"
        )
        raise InputLostError(msg) from error


def _clear(bucket: Bucket, file: InputFile) -> str | None:
    """Delete the landed version; if another version has replaced it, leave that and return its key."""
    try:
        bucket.delete(file.landed)
    except GoneError:
        return None
    except ReplacedError:
        return file.landed.key
    return None
