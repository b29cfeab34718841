"""The records of batches: which are committed, which are pending, and which curated files count."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from contract import layout
from contract.bucket import Bucket


class NotCommittedError(LookupError):
    """The batch has no commit record."""


@dataclass(frozen=True)
class CuratedFile:
    """One committed file of the event store.

    Attributes:
        buckets: the number of parts (a power of two) into which its batch has cut each date, by the hash of `user_id`.
        bucket: the number of the part that the file holds.
    """

    key: str
    listen_date: str
    rows: int
    bucket: int = 0
    buckets: int = 1

    @classmethod
    def of(cls, entry: dict[str, Any]) -> "CuratedFile":
        """Make it from its entry in a commit record; records of earlier versions lack buckets."""
        return cls(entry["key"], entry["listen_date"], entry["rows"], entry.get("bucket", 0), entry.get("buckets", 1))


def committed_batch(bucket: Bucket, batch_id: str) -> dict[str, Any]:
    """Return the commit record of a batch.

    Raises:
        NotCommittedError: the batch has no commit record.
    """
    key = layout.BatchFolder(batch_id).curation_record
    record = bucket.read_json(key)
    if record is None:
        raise NotCommittedError(
            f"{bucket.url(key)} is missing: batch {batch_id} is not curated; run curate-user-streams first"
        )
    return record


def pending_batches(bucket: Bucket, *, besides: str = "") -> list[str]:
    """Return the committed batches, except `besides`, that no run has loaded yet; oldest first.

    Every past batch is listed, but as six names, so one request, which returns a thousand names, covers 166 batches.
    """
    _, cut_names = bucket.level(f"{layout.BATCHES}/", delimiter=layout.RECORD_CUT)
    return [batch for batch in layout.committed_but_not_loaded(cut_names) if batch != besides]


def rejected_parts(bucket: Bucket, record: dict[str, Any]) -> list[str]:
    """Return the keys of a batch's rejected rows: JSON lines with `reason`, `source_file` and `raw_line`.

    Each attempt at the batch writes its own; only those count whose attempt the record (`curation.json` or
    `rejected.json`) names. Earlier versions of the jobs wrote theirs directly into the batch's folder.
    """
    folder = f"{layout.BatchFolder(record['batch_id']).quarantined_rows}/"
    names = (found.key.removeprefix(folder) for found in bucket.objects(folder))
    return [folder + name for name in names if "/" not in name or name.startswith(f"attempt={record['attempt']}/")]


def committed_files(bucket: Bucket, listen_dates: Iterable[str]) -> list[CuratedFile]:
    """Return all files that hold committed events of the dates (ISO), by key.

    A file counts only if its batch's commit record lists it; files that a crashed attempt has left do not count.
    """
    wanted = set(listen_dates)
    batch_ids = {
        layout.batch_of_curated_file(found.key)
        for date in sorted(wanted)
        for found in bucket.objects(f"{layout.curated_date(date)}/")
    }
    records = bucket.read_many_json(layout.BatchFolder(batch_id).curation_record for batch_id in sorted(batch_ids))
    files = [CuratedFile.of(entry) for record in records if record is not None for entry in record["curated_files"]]
    return sorted((file for file in files if file.listen_date in wanted), key=lambda file: file.key)
