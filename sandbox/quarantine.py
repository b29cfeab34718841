"""`make quarantine`: show refused files and rejected rows, the reasons, and how to put them back."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from shlex import quote
from typing import Any

from music_streams.rejected_rows import NothingToMendError, write_rejected_rows

from contract import layout
from contract.bucket import Bucket
from contract.records import rejected_parts
from sandbox.home import SandboxError

ROWS_SHOWN = 20
LINE_SHOWN = 200
REASON = ".reason.json"


def overview(bucket: Bucket) -> Iterator[str]:
    """Yield the commands that show the batches with refused files or rejected rows, and the files removed by hand."""
    batches = {prefix.rstrip("/").rpartition("=")[2] for prefix in bucket.level(f"{layout.QUARANTINED_ROWS}/")[1]}
    batches |= {prefix.rstrip("/").rpartition("/")[2] for prefix in bucket.level(f"{layout.QUARANTINED_FILES}/")[1]}
    commands = [command(batch) for batch in sorted(batches) if has_left(bucket, batch)]
    yield from commands or ["Nothing is in quarantine"]


def command(batch: str) -> str:
    """Return the command that shows the refused files and rejected rows of a batch."""
    return f"make quarantine BATCH={quote(batch)}"


def has_left(bucket: Bucket, batch: str) -> bool:
    """Return whether the batch has refused files or rejected rows."""
    return bool(_reasons(bucket, batch) or _rejected(bucket, batch)[1])


def shown(bucket: Bucket, batch: str) -> Iterator[str]:
    """Show the refused files and the first rejected rows of a batch, or the files that were removed by hand.

    Raises:
        SandboxError: there are none.
    """
    files, (record, rejected) = _reasons(bucket, batch), _rejected(bucket, batch)
    if not (files or rejected):
        raise SandboxError(f"batch {batch} has left nothing in quarantine. `make quarantine` lists those that have")
    for reason in files:
        yield f"{reason['file'].removeprefix(f'{layout.ROOT}/')} ({reason['size']:,} bytes)"
        yield from (f"  {entry['message']}" for entry in reason["reasons"])
    if files:
        place = bucket.url(layout.BatchFolder(batch).quarantined_files)
        yield f"These files lie in {place}/. Corrected, they may land again under any name."
    if rejected:
        yield from _rejected_rows(bucket, record)


def _reasons(bucket: Bucket, batch: str) -> list[dict[str, Any]]:
    """Return the reason files of the batch's refused files."""
    below = f"{layout.BatchFolder(batch).quarantined_files}/"
    keys = [found.key for found in bucket.objects(below) if found.key.endswith(REASON)]
    return [reason for reason in bucket.read_many_json(keys) if reason]


def _rejected(bucket: Bucket, batch: str) -> tuple[dict[str, Any], int]:
    """Return the record of the batch's rows, and the number of rejected ones."""
    folder = layout.BatchFolder(batch)
    record = bucket.read_json(folder.curation_record) or bucket.read_json(folder.rejected_record) or {}
    return record, record.get("rows_rejected", 0)


def _rejected_rows(bucket: Bucket, record: Mapping[str, Any]) -> Iterator[str]:
    batch, left = record["batch_id"], ROWS_SHOWN
    yield f"{record['rows_rejected']:,} rows were rejected, the first of them:"
    for key in rejected_parts(bucket, dict(record)):
        for line in bucket.read(key).splitlines()[:left]:
            row = json.loads(line)
            text = row["raw_line"] if len(row["raw_line"]) <= LINE_SHOWN else f"{row['raw_line'][:LINE_SHOWN]}…"
            yield f"  {row['reason']}: {text!r} in {row['source_file'].removeprefix(f'{layout.ROOT}/')}"
            left -= 1
    if "curated_files" in record:
        yield f"To fix them in an editor:  {command(batch)} FOLDER=corrected"
    else:
        yield "No row of their files was taken: fix the files themselves"


def write_rows_to_fix(bucket: Bucket, batch: str, folder: Path) -> Iterator[str]:
    """Write the rejected rows of a batch as stream files into a folder that can be landed.

    Raises:
        SandboxError: the batch has no rows that may be put back, or they were written already.
    """
    try:
        written = write_rejected_rows(bucket, batch, folder / "user_streams")
    except FileExistsError as error:
        raise SandboxError(f"{error.filename} is there already. Name another FOLDER, or remove that file") from error
    except NothingToMendError as error:
        raise SandboxError(str(error)) from error
    for file in written:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in file.reasons.most_common())
        yield f"{file.path}: rows of {file.source_file.removeprefix(f'{layout.ROOT}/')}: {reasons}"
    yield f"Once they are corrected:  make run DATA={quote(str(folder))}"
