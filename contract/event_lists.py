"""Lists of the committed files, by which SQL finds single events: one per date and batch, written after the commit.

A list is a text of S3 addresses, one per line, in the folder of its date; Hive calls this the symlink format. Athena
reads only the files that the lists name (docs/lake.md).
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from contract import layout
from contract.bucket import Bucket, in_parallel
from contract.records import committed_files


@dataclass(frozen=True)
class ListedFile:
    """A file of the event store that SQL sees, and the date (ISO) of its events."""

    key: str
    listen_date: str


def write_event_lists(bucket: Bucket, listen_dates: Iterable[str]) -> None:
    """List the committed files of the dates (ISO), those of earlier batches included.

    A list never changes once it exists, since a committed batch does not change. Writing the lists of earlier batches
    again adds those of a job that died between its commit and its lists.
    """
    lists = defaultdict[str, list[str]](list)
    for file in committed_files(bucket, listen_dates):
        lists[layout.event_list(file.listen_date, layout.batch_of_curated_file(file.key))].append(file.key)

    def write(key: str) -> None:
        bucket.write(key, "".join(f"{bucket.url(file)}\n" for file in lists[key]).encode(), "text/plain")

    in_parallel(write, list(lists))


def listed_files(bucket: Bucket) -> list[ListedFile]:
    """Return all files that the lists name, by date."""

    def read(key: str) -> list[ListedFile]:
        date = key.removeprefix(f"{layout.EVENT_LISTS}/listen_date=").partition("/")[0]
        urls = bucket.read(key).decode().splitlines()
        return [ListedFile(url.removeprefix(bucket.url("")), date) for url in urls]

    keys = sorted(found.key for found in bucket.objects(f"{layout.EVENT_LISTS}/"))
    return [file for files in in_parallel(read, keys) for file in files]
