"""`make quarantine`: what the pipeline has not taken, with the reasons, and how it is put back."""

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
    """A line for each batch that has left something, and for what was removed by hand, each with its command."""
    batches = {prefix.rstrip("/").rpartition("=")[2] for prefix in bucket.level(f"{layout.QUARANTINED_ROWS}/")[1]}
    batches |= {prefix.rstrip("/").rpartition("/")[2] for prefix in bucket.level(f"{layout.QUARANTINED_FILES}/")[1]}
    if not batches:
        yield "Nothing is in quarantine"
    for batch in sorted(batches):
        yield command(batch)


def command(batch: str) -> str:
    """The command that shows what a batch has left."""
    return f"make quarantine BATCH={quote(batch)}"


def shown(bucket: Bucket, batch: str) -> Iterator[str]:
    """The refused files and the first rejected rows of a batch, or the files that were removed by hand.

    Raises:
        SandboxError: there are none.
    """
    folder = layout.BatchFolder(batch)
    files = [reason for key in _keys(bucket, f"{folder.quarantined_files}/") if (reason := bucket.read_json(key))]
    record = bucket.read_json(folder.curation_record) or bucket.read_json(folder.rejected_record)
    rejected = record["rows_rejected"] if record else 0
    if not (files or rejected):
        raise SandboxError(f"batch {batch} has left nothing in quarantine. `make quarantine` lists those that have")
    for reason in files:
        yield f"{reason['file'].removeprefix(f'{layout.ROOT}/')} ({reason['size']:,} bytes)"
        yield from (f"  {entry['message']}" for entry in reason["reasons"])
    if files:
        yield f"These files lie in {bucket.url(folder.quarantined_files)}/. Mended, they may land again under any name."
    if record and rejected:
        yield from _rejected_rows(bucket, record)


def _keys(bucket: Bucket, prefix: str) -> list[str]:
    return [found.key for found in bucket.objects(prefix) if found.key.endswith(REASON)]


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
        yield f"To mend them in an editor:  {command(batch)} FOLDER=mended"
    else:
        yield "No row of their files was taken: mend the files themselves"


def write_to_mend(bucket: Bucket, batch: str, folder: Path) -> Iterator[str]:
    """Write the rejected rows of a batch as stream files of a folder that can be landed.

    Raises:
        SandboxError: there are none that may be put back, or they were written already.
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
    yield f"Once they are mended:  make run DATA={quote(str(folder))}"
