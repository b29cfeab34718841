"""`python -m music_streams.rejected_rows BATCH_ID FOLDER`: rejected rows as CSV files, to correct and land again.

How an operator uses it: docs/quarantine.md.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from contract import layout
from contract.bucket import Bucket
from contract.records import rejected_parts
from contract.variables import BUCKET

ARGUMENTS = 2


class NothingToMendError(Exception):
    """The batch has no rejected rows that may be put back."""


@dataclass(frozen=True)
class FileToMend:
    """A file that was written, and the reasons why its rows had been rejected."""

    path: Path
    source_file: str
    reasons: Counter[str]


def write_rejected_rows(bucket: Bucket, batch_id: str, folder: Path) -> list[FileToMend]:
    """Write the rejected rows of each of the batch's files below that file's own header, byte for byte.

    Raises:
        NothingToMendError: the batch is not committed, so its files still wait in the landing prefix; or it rejected
            nothing.
        FileExistsError: a file of that name exists already; it stays as it is, with any corrections in it.
    """
    record = bucket.read_json(layout.BatchFolder(batch_id).curation_record)
    if record is None:
        msg = (
            f"batch {batch_id} is not committed ({bucket.url(layout.BatchFolder(batch_id).curation_record)} does "
            "not exist): its files still wait in the landing prefix, so fix them there"
        )
        raise NothingToMendError(msg)
    rows_of_file: dict[str, list[dict[str, str]]] = {}
    for key in rejected_parts(bucket, record):
        for line in bucket.read(key).splitlines():
            row = json.loads(line)
            rows_of_file.setdefault(row["source_file"], []).append(row)
    if not rows_of_file:
        msg = f"batch {batch_id} rejected no rows"
        raise NothingToMendError(msg)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for file in record["files"]:
        rows = rows_of_file.get(file["key"])
        if rows:
            # The pin's name is safe on any machine, and the producer will not use it again.
            path = folder / PurePosixPath(file["copy"]).name
            with path.open("x", encoding="utf-8", newline="") as out:
                out.writelines(f"{line}\n" for line in (file["header"], *(row["raw_line"] for row in rows)))
            written.append(FileToMend(path, file["key"], Counter(row["reason"] for row in rows)))
    return written


def main(argv: Sequence[str]) -> str:
    """Run the command with its arguments, and return the text to print.

    Raises:
        SystemExit: the arguments are wrong, or there is nothing to fix.
    """
    if len(argv) != ARGUMENTS or not BUCKET.value(os.environ):
        raise SystemExit(f"usage: {BUCKET.name}=… python -m music_streams.rejected_rows BATCH_ID FOLDER")
    batch_id, folder = argv
    try:
        written = write_rejected_rows(Bucket(BUCKET.value(os.environ)), batch_id, Path(folder))
    except (NothingToMendError, FileExistsError) as error:
        raise SystemExit(str(error)) from error
    lines = []
    for file in written:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in file.reasons.most_common())
        lines.append(f"{file.path}: rows of {file.source_file}: {reasons}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(main(sys.argv[1:]))
