"""`python -m music_streams.rejected_rows BATCH_ID FOLDER`: rejected rows as CSV files, to be mended and landed again.

How an operator uses it: docs/quarantine.md.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from music_streams import lake
from music_streams.objects import list_objects, read_json, s3_client

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ARGUMENTS = 2


class NothingToMendError(Exception):
    """The batch has no rejected rows that may be put back."""


@dataclass(frozen=True)
class FileToMend:
    """A file that was written, and why its rows had been rejected."""

    path: Path
    source_file: str
    reasons: Counter[str]


def write_rejected_rows(s3: "S3Client", bucket: str, batch_id: str, folder: Path) -> list[FileToMend]:
    """Write the rejected rows of each of the batch's files below that file's own header, byte for byte.

    Raises:
        NothingToMendError: the batch is not committed, so that its files wait in the landing prefix still; or it
            rejected nothing.
        FileExistsError: a file of that name is there already; what was mended in it is kept.
    """
    record = read_json(s3, bucket, lake.BatchFolder(batch_id).curation_record)
    if record is None:
        msg = (
            f"batch {batch_id} is not committed (s3://{bucket}/{lake.BatchFolder(batch_id).curation_record} does not "
            "exist): its files still wait in the landing prefix, so mend them there"
        )
        raise NothingToMendError(msg)
    rows_of_file: dict[str, list[dict[str, str]]] = {}
    for part in list_objects(s3, bucket, f"{lake.QUARANTINED_ROWS}/batch_id={batch_id}/"):
        body = s3.get_object(Bucket=bucket, Key=part.key)["Body"]
        for line in body.iter_lines(chunk_size=1024**2):
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
            # The pin's name: safe on any machine, and no name that its producer will use again.
            path = folder / PurePosixPath(file["copy"]).name
            with path.open("x", encoding="utf-8", newline="") as out:
                out.writelines(f"{line}\n" for line in (file["header"], *(row["raw_line"] for row in rows)))
            written.append(FileToMend(path, file["key"], Counter(row["reason"] for row in rows)))
    return written


def main(argv: Sequence[str]) -> str:
    """Run the command with its arguments; returns what to print.

    Raises:
        SystemExit: the arguments are wrong, or there is nothing to mend.
    """
    if len(argv) != ARGUMENTS or not os.environ.get("MUSIC_STREAMS_BUCKET"):
        raise SystemExit("usage: MUSIC_STREAMS_BUCKET=… python -m music_streams.rejected_rows BATCH_ID FOLDER")
    batch_id, folder = argv
    try:
        written = write_rejected_rows(s3_client(), os.environ["MUSIC_STREAMS_BUCKET"], batch_id, Path(folder))
    except (NothingToMendError, FileExistsError) as error:
        raise SystemExit(str(error)) from error
    lines = []
    for file in written:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in file.reasons.most_common())
        lines.append(f"{file.path}: rows of {file.source_file}: {reasons}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(main(sys.argv[1:]))
