"""The end of a batch: say that the marts hold it, then move its input out of the landing prefix."""

import logging
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


def finish_batch(s3: "S3Client", bucket: str, batch_id: str) -> dict[str, Any]:
    """Record that both marts hold the batch and those it covered, then archive their stream files.

    May be repeated: what is done stays done. A landed file replaced since it was pinned stays for the next run.

    Raises:
        BatchUnfinishedError: the curation record or a COPY manifest is missing.
    """
    folder = lake.BatchFolder(batch_id)
    record = read_json(s3, bucket, folder.curation_record)
    missing = missing_keys(
        s3, bucket, [lake.copy_manifest(kpis, batch_id) for kpis in (lake.GENRE_LEVEL_KPIS, lake.HOURLY_KPIS)]
    )
    if record is None:
        missing.insert(0, folder.curation_record)
    if record is None or missing:
        msg = (
            f"batch {batch_id} cannot be archived, as s3://{bucket}/ lacks {', '.join(missing)}: "
            "clear trigger_spark_curate_user_streams_job_task with what follows it"
        )
        raise BatchUnfinishedError(msg)

    covers: list[str] = record["covers"]
    loaded_at = datetime.now(UTC).isoformat()
    create_json(s3, bucket, folder.loaded_record, {"batch_id": batch_id, "loaded_at": loaded_at, "covered": covers})
    for covered in covers:
        create_json(
            s3,
            bucket,
            lake.BatchFolder(covered).loaded_record,
            {"batch_id": covered, "loaded_at": loaded_at, "covered_by": batch_id},
        )

    inputs = [(owner, file) for owner in (batch_id, *covers) for file in _files(s3, bucket, owner)]
    replaced = in_parallel(lambda item: _archive_file(s3, bucket, *item), inputs)
    stayed = [key for key in replaced if key]
    if stayed:
        log.warning("%d files were replaced since they were pinned and stay for the next run: %s", len(stayed), stayed)
    return {
        "batch_id": batch_id,
        "covered": covers,
        "archived_files": len(inputs) - len(stayed),
        "replaced_files": len(stayed),
    }


def _files(s3: "S3Client", bucket: str, batch_id: str) -> list[dict[str, Any]]:
    record = read_json(s3, bucket, lake.BatchFolder(batch_id).curation_record)
    if record is None:
        msg = f"batch {batch_id} has no curation record, though a later batch covers it"
        raise BatchUnfinishedError(msg)
    files: list[dict[str, Any]] = record["files"]
    return files


def _archive_file(s3: "S3Client", bucket: str, batch_id: str, file: dict[str, Any]) -> str | None:
    """Archive one file; its key when the landed object is another version by now, which stays."""
    landed = StoredObject(file["key"], file["etag"], file["size"])
    target = f"{lake.BatchFolder(batch_id).archive}/{PurePosixPath(landed.key).name}"
    try:
        copy_version(s3, bucket, head(s3, bucket, file["copy"]), target)
    except GoneError:
        head(s3, bucket, target)  # pins may have expired; the archive may not
    try:
        delete_version(s3, bucket, landed)
    except GoneError:
        return None
    except ReplacedError:
        return landed.key
    return None
