"""Glue job `curate-user-streams`: accept each event of a batch once, keep the rejected rows, commit the batch.

Rules 2, 3 and 4 of docs/protocol.md make it exact.
"""

import datetime as dt
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from contract import layout
from contract.bucket import Bucket
from contract.event_lists import write_event_lists
from contract.jobs import CURATION_JOB, FAILS_AGAIN
from contract.records import committed_batch, pending_batches
from contract.rejections import latest_listen_time, rate_that_allows
from glue_jobs import stream_lines
from glue_jobs.arguments import parse_arguments
from glue_jobs.curation import Attempt, PiecesOfTask, Tally, judge, keep_new_events
from glue_jobs.distribution import Distributed, in_driver_or_on_spark
from glue_jobs.events import BYTES_PER_EVENT, buckets_for
from glue_jobs.stream_lines import PinnedFile

ARGUMENTS = ("bucket", "batch_id", "max_reject_rate", "JOB_RUN_ID")

_SHOWN_FILES = 5
# A gzip file may expand to many times its size; the text of events seldom to more than ten times.
_GZIP_FACTOR = 10


@dataclass(frozen=True)
class Job:
    """The arguments of one run of the job."""

    bucket: Bucket
    batch_id: str
    attempt: str
    max_reject_rate: float

    @classmethod
    def of(cls, arguments: Mapping[str, str]) -> "Job":
        """Make it from the values of `ARGUMENTS`."""
        return cls(
            bucket=Bucket(arguments["bucket"]),
            batch_id=arguments["batch_id"],
            attempt=arguments["JOB_RUN_ID"],
            max_reject_rate=float(arguments["max_reject_rate"]),
        )

    @property
    def folder(self) -> layout.BatchFolder:
        """The keys of the batch."""
        return layout.BatchFolder(self.batch_id)


def check_pins(job: Job, manifest: Mapping[str, Any]) -> None:
    """Check that all pinned files of the batch exist.

    Raises:
        LookupError: a pinned file is gone.
    """
    held = {found.key for found in job.bucket.objects(f"{job.folder.pins}/")}
    gone = [file for file in manifest["files"] if file["copy"] not in held]
    if gone:
        named = ", ".join(f"{job.bucket.url(file['copy'])} (pinned from {file['key']})" for file in gone[:_SHOWN_FILES])
        raise LookupError(
            f"batch {job.batch_id}: {len(gone):,} of {len(manifest['files']):,} pinned files are gone, so nothing is "
            f"written: {named}{', …' if len(gone) > _SHOWN_FILES else ''}. Put them back, or trigger a new run: it "
            "pins anew what lies in the landing prefix; land there what is missing"
        )


def check_rows(job: Job, files: Sequence[Mapping[str, Any]]) -> None:
    """Check that curation has read as many rows of each file (`rows_read`) as validation (`rows`).

    Raises:
        ValueError: the numbers differ.
    """
    differing = [file for file in files if file.get("rows", file["rows_read"]) != file["rows_read"]]
    if differing:
        named = ", ".join(
            f"{job.bucket.url(file['copy'])} (pinned from {file['key']}) had {file['rows']:,} rows when it was "
            f"validated, and {file['rows_read']:,} were read"
            for file in differing[:_SHOWN_FILES]
        )
        raise ValueError(
            f"batch {job.batch_id}: {named}{', …' if len(differing) > _SHOWN_FILES else ''}; nothing is committed. "
            "Trigger a new run, which pins and validates anew; if it fails alike, the readers disagree: report it. "
            f"{FAILS_AGAIN}"
        )


def check_reject_rate(counts: Mapping[str, Any], job: Job, kept_in: str) -> None:
    """Fail if the batch's share of rejected rows is above the limit, and write its counts first.

    Raises:
        ValueError: the share is above the limit.
    """
    rejected, read = counts["rows_rejected"], counts["rows_read"]
    if not read or rejected / read <= job.max_reject_rate:
        return
    about_it = {"batch_id": job.batch_id, "attempt": job.attempt, **counts, "max_reject_rate": job.max_reject_rate}
    job.bucket.write_json(job.folder.rejected_record, about_it)
    enough = rate_that_allows(rejected, read)
    lenient = f", or run with max_reject_rate {enough} to go on without these rows" if enough else ""
    raise ValueError(
        f"batch {job.batch_id}: {rejected:,} of {read:,} rows are rejected, more than max_reject_rate "
        f"{job.max_reject_rate} allows ({counts['rejected_by_reason']}); nothing is committed. See {kept_in}, "
        f"fix the files where they landed and run again{lenient}. {FAILS_AGAIN}"
    )


def recompute_dates(bucket: Bucket, recompute: Mapping[str, str] | None) -> set[str]:
    """Return the dates in the requested range for which the store has events."""
    if recompute is None:
        return set()
    _, folders = bucket.level(f"{layout.CURATED}/")
    stored = {folder.rstrip("/").rpartition("listen_date=")[2] for folder in folders}
    return {date for date in stored if recompute["from"] <= date <= recompute["to"]}


def count_rows(tallies: Iterable[Tally], files: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the batch's counts."""
    rows_of_file = Counter[int]()
    by_reason = Counter[str]()
    for tally in tallies:
        rows_of_file[tally.file] += tally.rows
        if tally.reason is not None:
            by_reason[tally.reason] += tally.rows
    return {
        "files": [{**file, "rows_read": rows_of_file[number]} for number, file in enumerate(files)],
        "rows_read": rows_of_file.total(),
        "rows_rejected": by_reason.total(),
        "rejected_by_reason": dict(sorted(by_reason.items())),
    }


def curate(job: Job, manifest: Mapping[str, Any], distributed: Distributed) -> dict[str, Any]:
    """Write the batch's new events and its rejected rows; return the record that commits them.

    Raises:
        ValueError: too many rows are rejected, or validation has read another number of rows; the written files do not
            count.
    """
    files = [PinnedFile.of(number, entry) for number, entry in enumerate(manifest["files"])]
    events = sum(file.size * (_GZIP_FACTOR if file.compression else 1) for file in files) // BYTES_PER_EVENT
    batch_time = dt.datetime.fromisoformat(manifest["time"])
    attempt = Attempt(job.bucket, job.batch_id, job.attempt, latest_listen_time(batch_time), buckets_for(events))
    tasks = [
        PiecesOfTask(number, pieces) for number, pieces in enumerate(stream_lines.plan(files, stream_lines.PIECE_BYTES))
    ]
    results: list[bytes] = []
    if tasks:
        # A large gzip file is one task, but its events become a task of the second stage for each bucket.
        with distributed(CURATION_JOB, max(len(tasks), attempt.buckets)) as distribution:
            results = distribution.run(tasks, partial(judge, attempt), partial(keep_new_events, attempt))
    found = [json.loads(result) for result in results]
    tallies = [Tally(*tally) for result in found for tally in result.get("tallies", [])]
    curated_files = sorted((result["file"] for result in found if "file" in result), key=lambda file: file["key"])

    counts = count_rows(tallies, manifest["files"])
    check_rows(job, counts["files"])
    check_reject_rate(counts, job, kept_in=f"{job.bucket.url(attempt.quarantine)}/")
    accepted_by_date = Counter[str]()
    for file in curated_files:
        accepted_by_date[file["listen_date"]] += file["rows"]
    own_dates = {tally.listen_date for tally in tallies if tally.listen_date is not None}
    pending = pending_batches(job.bucket, besides=job.batch_id)
    pending_dates = {date for batch_id in pending for date in committed_batch(job.bucket, batch_id)["dates"]}
    return {
        "batch_id": job.batch_id,
        "attempt": job.attempt,
        "committed_at": dt.datetime.now(dt.UTC).isoformat(),
        **counts,
        "max_reject_rate": job.max_reject_rate,
        "rows_accepted": accepted_by_date.total(),
        "rows_late": sum(result.get("late", 0) for result in found),
        "rows_duplicate": counts["rows_read"] - counts["rows_rejected"] - accepted_by_date.total(),
        "accepted_by_date": dict(sorted(accepted_by_date.items())),
        "dates": sorted(own_dates | pending_dates | recompute_dates(job.bucket, manifest["recompute"])),
        "covers": pending,
        "curated_files": curated_files,
    }


def commit(job: Job, distributed: Distributed) -> None:
    """Curate the batch and commit it, unless another attempt commits it meanwhile.

    Raises:
        LookupError: the batch has no manifest, or files that the manifest names are gone.
        ValueError: too many rows are rejected.
    """
    manifest = job.bucket.read_json(job.folder.manifest)
    if manifest is None:
        raise LookupError(
            f"{job.bucket.url(job.folder.manifest)} is missing: validate_datasets has not passed for {job.batch_id}"
        )
    check_pins(job, manifest)
    record = curate(job, manifest, distributed)
    if job.bucket.create_json(job.folder.curation_record, record):
        counts = {name: value for name, value in record.items() if name.startswith(("rows_", "rejected_", "dates"))}
        print(f"batch {job.batch_id} is committed: {counts}")
    else:
        print(f"batch {job.batch_id} was committed by another attempt meanwhile: what this one wrote does not count")


def main(argv: Sequence[str], distributed: Distributed = in_driver_or_on_spark) -> None:
    """Run the job.

    Raises:
        LookupError: the batch has no manifest, or files that the manifest names are gone.
        ValueError: an argument is missing, or too many rows are rejected.
    """
    job = Job.of(parse_arguments(argv, ARGUMENTS))
    if job.bucket.read_json(job.folder.curation_record) is not None:
        print(f"batch {job.batch_id} is committed already: only its lists of events are written again")
    else:
        commit(job, distributed)
    write_event_lists(job.bucket, committed_batch(job.bucket, job.batch_id)["dates"])


if __name__ == "__main__":
    main(sys.argv)
