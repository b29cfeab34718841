"""The end of a batch: archive its input, say that the marts hold it, and clear the landing prefix of it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from music_streams import lake
from music_streams.objects import (
    GoneError,
    ReplacedError,
    StoredObject,
    copy_version,
    create_json,
    delete_version,
    head,
    in_parallel,
    missing_keys,
    read_json,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)


class BatchUnfinishedError(Exception):
    """The batch was not curated, or its KPIs were not computed."""


class InputLostError(Exception):
    """Bytes that the batch has counted are nowhere to be found."""


@dataclass(frozen=True)
class InputFile:
    """A stream file that a batch has counted: the version that landed, its pin, and where it is archived."""

    landed: StoredObject
    pin: str
    archived: str

    @classmethod
    def of(cls, batch_id: str, record: Mapping[str, Any]) -> "InputFile":
        """Make it from its entry in the batch's curation record."""
        landed = StoredObject(record["key"], record["etag"], record["size"])
        return cls(landed, record["copy"], f"{lake.BatchFolder(batch_id).archive}/{PurePosixPath(landed.key).name}")


def finish_batch(s3: "S3Client", bucket: str, batch_id: str) -> dict[str, Any]:
    """Archive the stream files of the batch and of those it covered, record that both marts hold them, clear up.

    In this order, so that whenever it dies, counted bytes are archived or their batch is owed still. May be repeated:
    what is done stays done. A landed file replaced since it was pinned stays for the next run.

    Raises:
        BatchUnfinishedError: the curation record or a COPY manifest is missing.
        InputLostError: a file is neither pinned nor archived, nor does the version that was pinned lie where it landed.
    """
    record = _record_of_computed_batch(s3, bucket, batch_id)
    covers: list[str] = record["covers"]
    files = [
        InputFile.of(owner, file)
        for owner in (batch_id, *covers)
        for file in _curation_record(s3, bucket, owner)["files"]
    ]

    in_parallel(lambda file: _archive(s3, bucket, file), files)

    loaded_at = datetime.now(UTC).isoformat()
    about_it = {"batch_id": batch_id, "loaded_at": loaded_at, "covered": covers}
    create_json(s3, bucket, lake.BatchFolder(batch_id).loaded_record, about_it)
    for covered in covers:
        about_it = {"batch_id": covered, "loaded_at": loaded_at, "covered_by": batch_id}
        create_json(s3, bucket, lake.BatchFolder(covered).loaded_record, about_it)

    stayed = [key for key in in_parallel(lambda file: _clear(s3, bucket, file), files) if key]
    if stayed:
        log.warning("%d files were replaced since they were pinned and stay for the next run: %s", len(stayed), stayed)
    return {
        "batch_id": batch_id,
        "covered": covers,
        "archived_files": len(files) - len(stayed),
        "replaced_files": len(stayed),
    }


def _record_of_computed_batch(s3: "S3Client", bucket: str, batch_id: str) -> dict[str, Any]:
    record = lake.BatchFolder(batch_id).curation_record
    manifests = [lake.copy_manifest(kpis, batch_id) for kpis in (lake.GENRE_LEVEL_KPIS, lake.HOURLY_KPIS)]
    missing = missing_keys(s3, bucket, [record, *manifests])
    if missing:
        msg = (
            f"batch {batch_id} cannot be archived, as s3://{bucket}/ lacks {', '.join(missing)}: "
            "clear trigger_spark_curate_user_streams_job_task with what follows it"
        )
        raise BatchUnfinishedError(msg)
    return _curation_record(s3, bucket, batch_id)


def _curation_record(s3: "S3Client", bucket: str, batch_id: str) -> dict[str, Any]:
    record = read_json(s3, bucket, lake.BatchFolder(batch_id).curation_record)
    if record is None:
        msg = f"batch {batch_id} has no curation record, though a later batch covers it"
        raise BatchUnfinishedError(msg)
    return record


def _archive(s3: "S3Client", bucket: str, file: InputFile) -> None:
    """Copy a file from its pin; where the pin has gone, the archive must hold it already, or the landing prefix."""
    try:
        copy_version(s3, bucket, head(s3, bucket, file.pin), file.archived)
    except GoneError:
        if missing_keys(s3, bucket, [file.archived]):
            _archive_what_landed(s3, bucket, file)


def _archive_what_landed(s3: "S3Client", bucket: str, file: InputFile) -> None:
    try:
        copy_version(s3, bucket, file.landed, file.archived)
    except (GoneError, ReplacedError) as error:
        msg = (
            f"{file.landed.key} was counted, but its pin s3://{bucket}/{file.pin} has gone, {file.archived} does not "
            f"exist, and {error}: restore the pin (the bucket keeps old versions), then clear move_files"
        )
        raise InputLostError(msg) from error


def _clear(s3: "S3Client", bucket: str, file: InputFile) -> str | None:
    """Delete what landed; returns its key when another version lies there by now, which stays."""
    try:
        delete_version(s3, bucket, file.landed)
    except GoneError:
        return None
    except ReplacedError:
        return file.landed.key
    return None
