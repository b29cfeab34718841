"""`python -m music_streams.removal FILE`: move a landed file out of the landing prefix, into quarantine.

How an operator uses it: docs/quarantine.md.
"""

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from difflib import get_close_matches

from contract import layout
from contract.bucket import Bucket, GoneError, RefusedError, ReplacedError
from contract.variables import BUCKET
from music_streams.batches import safe_name

BY_HAND = "removed by hand"
NEAREST = 3
LIKENESS = 0.5  # of two names, 0 to 1; at this likeness or above, one may be a misspelling of the other
TABLES = tuple(key.removeprefix(f"{layout.ROOT}/") for key in (layout.SONGS, layout.USERS))


class NotRemovedError(Exception):
    """The file was not moved, or no file has this name; the message gives the reason and the remedy."""


def remove_landed_file(bucket: Bucket, name: str, now: datetime) -> str:
    """Move a file of the landing prefix to quarantine with a reason file beside it; return its key there.

    Args:
        bucket: The lake.
        name: The file's name as messages show it: `user_streams/2024-06-25.csv`.
        now: The time, which becomes part of the new key so that another file of this name does not replace it.

    Raises:
        NotRemovedError: no such file has landed, it was replaced meanwhile, or every run needs it.
        RefusedError: S3 denies it, or cannot copy it.
    """
    if name in TABLES:
        raise NotRemovedError(f"{name} stays, since every run needs it: land a corrected one over it")
    landed = landed_files(bucket)
    if name not in landed:
        raise NotRemovedError(f"{name} has not landed. {_nearest(name, landed)}")
    try:
        version = bucket.head(f"{layout.ROOT}/{name}")
        target = f"{layout.REMOVED_FILES}/{now.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}-{safe_name(version)}"
        reason = {"expectation": BY_HAND, "message": BY_HAND, "examples": []}
        bucket.copy(version, target)
        record = {"file": version.key, "etag": version.etag, "size": version.size, "reasons": [reason]}
        bucket.write_json(f"{target}.reason.json", record)
        bucket.delete(version)
    except (GoneError, ReplacedError) as error:
        raise NotRemovedError(f"{name} stays as it is now: {error} just now. Look at it, and try again") from error
    return target


def landed_files(bucket: Bucket) -> list[str]:
    """Return the names of all files in the landing prefix except songs.csv and users.csv."""
    beside = [found.key for found in bucket.level(f"{layout.ROOT}/")[0] if not found.key.endswith("/")]
    below = [found.key for found in bucket.objects(f"{layout.USER_STREAMS}/")]
    names = (key.removeprefix(f"{layout.ROOT}/") for key in (*beside, *below))
    return sorted(name for name in names if name not in TABLES)


def _nearest(name: str, landed: Sequence[str]) -> str:
    """Return the landed files whose names are closest to the given one."""
    same = [other for other in landed if other.rpartition("/")[2] == name.rpartition("/")[2]]
    nearest = list(dict.fromkeys([*same, *get_close_matches(name, landed, NEAREST, LIKENESS)]))[:NEAREST]
    if nearest:
        return f"Nearest to that: {', '.join(nearest)}"
    return (
        "Nothing waits there"
        if not landed
        else f"There are {', '.join(landed[:NEAREST])}"
        + (f" and {len(landed) - NEAREST:,} more" if len(landed) > NEAREST else "")
    )


def main(argv: Sequence[str]) -> str:
    """Run the command with its arguments, and return the text to print.

    Raises:
        SystemExit: the arguments are wrong, or the file was not moved.
    """
    if len(argv) != 1 or not BUCKET.value(os.environ):
        raise SystemExit(f"usage: {BUCKET.name}=… python -m music_streams.removal user_streams/NAME.csv")
    bucket = Bucket(BUCKET.value(os.environ))
    try:
        return f"{argv[0]} lies in {bucket.url(remove_landed_file(bucket, argv[0], datetime.now(UTC)))} now"
    except (NotRemovedError, RefusedError) as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    print(main(sys.argv[1:]))
