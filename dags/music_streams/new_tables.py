"""Find a songs.csv or users.csv that landed after a run last took it in, and the dates computed without it."""

from dataclasses import dataclass
from typing import Any

from contract import layout
from contract.bucket import Bucket

TABLES = {layout.SONGS: layout.REFERENCE_SONGS, layout.USERS: layout.REFERENCE_USERS}


@dataclass(frozen=True)
class NewTables:
    """Reference tables from which no date has been computed yet.

    Attributes:
        names: `songs.csv`, `users.csv`, or both.
        first, last: The first and the last date (ISO) with events in the store; None if it has no events.
    """

    names: tuple[str, ...]
    first: str | None
    last: str | None

    def sentence(self) -> str:
        """Return a sentence on the run that first uses the tables, and on the dates that were computed without them."""
        have, they = ("have", "they count") if len(self.names) > 1 else ("has", "it counts")
        sentence = f"{' and '.join(self.names)} {have} landed anew: {they} from the next run on that computes dates"
        if self.first is None:
            return sentence
        return f"{sentence}, for the dates that it computes. All others stay as they are until they are recomputed"

    def params(self) -> dict[str, Any]:
        """Return the DAG params that apply the tables to all dates; empty if the store has no events."""
        return {"recompute_from": self.first, "recompute_to": self.last} if self.first else {}


def new_tables(bucket: Bucket) -> NewTables | None:
    """Return the tables that were replaced after a run last took them in; None if neither was.

    A table is new if it was written after its copy and its ETag differs. Different ETags alone prove nothing, since a
    copy's ETag may differ from its source's; equal ones mean that the same table has landed again.
    """
    names = [key.removeprefix(f"{layout.ROOT}/") for key in TABLES if _is_new(bucket, key)]
    if not names:
        return None
    folders = bucket.level(f"{layout.CURATED}/")[1]
    dates = sorted(folder.rstrip("/").rpartition("listen_date=")[2] for folder in folders)
    return NewTables(tuple(names), dates[0] if dates else None, dates[-1] if dates else None)


def _is_new(bucket: Bucket, key: str) -> bool:
    landed, taken_in = bucket.written(key), bucket.written(TABLES[key])
    if landed is None or taken_in is None:
        return landed is not None
    (version, landed_at), (copy, taken_in_at) = landed, taken_in
    return version.etag != copy.etag and landed_at >= taken_in_at
