"""The record of a run, `batches/B/run.json`: the files it took in, what it did with them, and the files it ignored."""

from datetime import UTC, datetime
from typing import Any

from contract import layout
from contract.bucket import Bucket
from music_streams.batches import left_lying


def write_run_record(bucket: Bucket, batch_id: str, run_id: str) -> dict[str, Any]:
    """Write the record of a run that is about to end, and return it; docs/lake.md explains its keys.

    The record is derived entirely from objects that the run has written to the lake, so it may be written again at any
    time; the last one replaces the others. Nothing that computes KPIs reads it.
    """
    folder = layout.BatchFolder(batch_id)
    counts = bucket.read_json(folder.curation_record) or bucket.read_json(folder.rejected_record) or {}
    record = {
        "batch_id": batch_id,
        "run_id": run_id,
        "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "events_landed": counts.get("rows_read", 0),
        "accepted": counts.get("rows_accepted", 0),
        "duplicates": counts.get("rows_duplicate", 0),
        "rejected": counts.get("rejected_by_reason", {}),
        "late_events": counts.get("rows_late", 0),  # batches of earlier versions did not count them
        "events_by_date": counts.get("accepted_by_date", {}),
        "refused_files": _refused_files(bucket, folder),
        "left_lying": left_lying(bucket),
    }
    bucket.write_json(folder.run_record, record)
    return record


def _refused_files(bucket: Bucket, folder: layout.BatchFolder) -> list[str]:
    """Keys of the files that validation refused, whether they were moved aside or failed the run."""
    summary = bucket.read_json(folder.validation_summary) or {"files": []}
    return sorted(f"{layout.ROOT}/{file['name']}" for file in summary["files"] if not file["passed"])
