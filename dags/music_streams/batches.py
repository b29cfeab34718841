"""A batch: the stream files that one DAG run takes in, pinned so that nobody can change them during the run."""

import hashlib
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from difflib import get_close_matches
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from contract import layout
from contract.bucket import (
    Bucket,
    GoneError,
    RefusedError,
    ReplacedError,
    StoredObject,
    in_parallel,
)

log = logging.getLogger(__name__)

STREAM_ENDINGS = (".csv", ".csv.gz")
PIN_ATTEMPTS = 5
LEFT_REPORTED = 1_000  # foreign objects listed at most, so that a folder of millions does not fill a record
NAME_LIMIT = 100
LANDED_NAME_LIMIT = 900  # bytes; archive and quarantine add folders to the name, and S3 allows keys of 1,024 bytes


class LandingUnstableError(Exception):
    """A landed file is replaced faster than it can be copied; the task is retried."""


class DatesRefusedError(Exception):
    """`recompute_from` and `recompute_to` are not a valid range of dates."""


class NamesRefusedError(Exception):
    """Landed files have names that are too long for the archive; a retry would fail again."""


@dataclass(frozen=True)
class DateRange:
    """A range of dates whose KPIs are to be recomputed, both ends included."""

    first: date
    last: date

    @classmethod
    def from_params(cls, recompute_from: str | None, recompute_to: str | None) -> "DateRange | None":
        """Return the range of the DAG params `recompute_from` and `recompute_to`; None if both are empty.

        Raises:
            DatesRefusedError: only one of them is given, one is not a date, or they are in the wrong order.
        """
        if not recompute_from and not recompute_to:
            return None
        if not recompute_from or not recompute_to:
            msg = (
                f"recompute_from is {recompute_from!r} and recompute_to {recompute_to!r}: "
                "give both, or neither (the same date twice for one date)"
            )
            raise DatesRefusedError(msg)
        first, last = _iso_date("recompute_from", recompute_from), _iso_date("recompute_to", recompute_to)
        if first > last:
            msg = f"recompute_from {first} lies after recompute_to {last}: exchange them"
            raise DatesRefusedError(msg)
        return cls(first, last)

    def as_record(self) -> dict[str, str]:
        """Return the range as the manifest holds it."""
        return {"from": self.first.isoformat(), "to": self.last.isoformat()}


@dataclass(frozen=True)
class LeftLying:
    """An object below the landing prefix that the pipeline does not take in, and the reason."""

    key: str
    reason: str


@dataclass(frozen=True)
class Landed:
    """The result of listing the landing prefix once."""

    songs: StoredObject | None
    users: StoredObject | None
    streams: tuple[StoredObject, ...]
    left: tuple[LeftLying, ...]


@dataclass(frozen=True)
class Pin:
    """A landed version and its copy in the batch's folder; the two may have different ETags."""

    landed: StoredObject
    copy: StoredObject

    def as_record(self) -> dict[str, Any]:
        """Return the part of the file's manifest entry that names the two versions."""
        return {
            "key": self.landed.key,
            "etag": self.landed.etag,
            "size": self.landed.size,
            "copy": self.copy.key,
        }


@dataclass(frozen=True)
class Uncopied:
    """A landed file that S3 does not let us copy, for example because it must be restored first or access is denied.

    Attributes:
        reason: The rest of a sentence that begins with the file's name; it includes the remedy.
    """

    key: str
    reason: str

    @classmethod
    def of(cls, bucket: Bucket, landed: StoredObject, error: RefusedError) -> "Uncopied":
        """Make it from S3's refusal."""
        return cls(landed.key, str(error).removeprefix(f"{bucket.url(landed.key)} "))


@dataclass(frozen=True)
class Pinned:
    """The outcomes of landed files that still exist; a file that is missing was withdrawn."""

    pins: tuple[Pin, ...]
    uncopied: tuple[Uncopied, ...]


def unknown_params(given: Iterable[str] | None, known: Iterable[str]) -> str:
    """Return one sentence that names the given params that the DAG does not have; empty if it has all of them."""
    names = list(known)
    strange = [name for name in given or () if name not in names]
    if not strange:
        return ""
    nearest = get_close_matches(strange[0], names, n=1)
    guess = f" Did you mean {nearest[0]}?" if nearest else ""
    return f"{', '.join(map(repr, strange))}: the DAG has no such param. It has {', '.join(names)}.{guess}"


def batch_id(run_after: datetime, run_id: str) -> str:
    """Return the batch id of a DAG run: it sorts by time, is unique to the run, and is the same in every retry."""
    moment = run_after.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{moment}-{hashlib.sha256(run_id.encode()).hexdigest()[:8]}"


def list_landed(bucket: Bucket) -> Landed:
    """List the landing prefix once.

    Stream files are the objects below `user_streams/`, in folders too, whose names end in `.csv` or `.csv.gz`, in
    capitals or not, empty ones included.

    Raises:
        NamesRefusedError: a stream file's name is too long for the archive.
    """
    landed = _listed(bucket)
    for item in landed.left:
        log.warning("%s %s", item.key, item.reason)
    _refuse_long_names(bucket, landed.streams)
    return landed


def left_lying(bucket: Bucket) -> list[str]:
    """Return the keys below the landing prefix that no run takes in, at most LEFT_REPORTED of them."""
    return [item.key for item in _listed(bucket).left]


def _listed(bucket: Bucket) -> Landed:
    objects, folders = bucket.level(f"{layout.ROOT}/")
    tables = {found.key: found for found in objects if not found.key.endswith("/")}
    songs, users = tables.pop(layout.SONGS, None), tables.pop(layout.USERS, None)
    below = sorted(bucket.objects(f"{layout.USER_STREAMS}/"), key=lambda found: found.key)
    streams = [found for found in below if found.key.lower().endswith(STREAM_ENDINGS)]
    others = [found.key for found in below if not found.key.lower().endswith(STREAM_ENDINGS)]
    left = [
        *(LeftLying(key, "is neither songs.csv nor users.csv, nor below user_streams/: it stays") for key in tables),
        *(LeftLying(key, "does not end in .csv or .csv.gz: it stays") for key in others),
        *(
            LeftLying(key, "lies in a folder that the pipeline does not know: it stays")
            for key in _in_strange(bucket, folders)
        ),
    ]
    return Landed(songs, users, tuple(streams), tuple(left[:LEFT_REPORTED]))


def _in_strange(bucket: Bucket, folders: Iterable[str]) -> Iterator[str]:
    """Return the first objects in folders that are not the pipeline's, such as a misspelt `user-streams/`."""
    strange = (folder for folder in folders if folder.split("/")[1] not in layout.FOLDERS)
    found = (entry.key for folder in strange for entry in bucket.objects(folder))
    return islice(found, LEFT_REPORTED)


def pin_streams(bucket: Bucket, batch: str, streams: Sequence[StoredObject]) -> Pinned:
    """Copy the landed stream files into the batch's folder; one that cannot be copied does not stop the others.

    Raises:
        LandingUnstableError: a file was replaced during each of several attempts.
    """
    folder = layout.BatchFolder(batch)

    def pin(numbered: tuple[int, StoredObject]) -> Pin | Uncopied | None:
        number, landed = numbered
        # The ETag in the name keeps two attempts at one batch from overwriting each other's versions.
        return pin_version(bucket, landed, lambda version: f"{folder.pins}/{number:05d}-{safe_name(version)}")

    pinned = _pinned(in_parallel(pin, list(enumerate(streams, start=1))))
    if withdrawn := len(streams) - len(pinned.pins) - len(pinned.uncopied):
        log.warning("%d stream files were withdrawn before they were pinned", withdrawn)
    return pinned


def pin_tables(bucket: Bucket, batch: str, tables: Sequence[StoredObject]) -> Pinned:
    """Copy the reference tables into the batch's folder.

    Raises:
        LandingUnstableError: a table was replaced during each of several attempts.
    """
    folder = layout.BatchFolder(batch)

    def name_copy(version: StoredObject) -> str:
        return f"{folder.pins}/reference-{safe_name(version)}"

    return _pinned([pin_version(bucket, table, name_copy) for table in tables])


def pin_version(
    bucket: Bucket, landed: StoredObject, name_copy: Callable[[StoredObject], str]
) -> Pin | Uncopied | None:
    """Copy a landed file, or its newest version if the listed one was replaced; None if the file was withdrawn."""
    for _ in range(PIN_ATTEMPTS):
        try:
            return Pin(landed, bucket.copy(landed, name_copy(landed)))
        except ReplacedError:
            try:
                landed = bucket.head(landed.key)
            except GoneError:
                return None
            except RefusedError as error:
                return Uncopied.of(bucket, landed, error)
        except GoneError:
            return None
        except RefusedError as error:
            return Uncopied.of(bucket, landed, error)
    msg = (
        f"s3://{bucket.name}/{landed.key} was replaced {PIN_ATTEMPTS} times while it was being copied: "
        "nothing was taken in; the task tries again, and succeeds once its producer rests"
    )
    raise LandingUnstableError(msg)


def _pinned(found: Iterable[Pin | Uncopied | None]) -> Pinned:
    files = list(found)
    return Pinned(
        tuple(file for file in files if isinstance(file, Pin)),
        tuple(file for file in files if isinstance(file, Uncopied)),
    )


def safe_name(version: StoredObject) -> str:
    """Return a name for a copy of an object: safe on any machine, not too long, and different for each version."""
    name = PurePosixPath(version.key).name
    ending = next((ending for ending in STREAM_ENDINGS if name.lower().endswith(ending)), "")
    stem = re.sub(r"[^A-Za-z0-9._-]", "_", name[: len(name) - len(ending)])[:NAME_LIMIT]
    etag = re.sub(r"[^A-Za-z0-9]", "", version.etag)[:8]
    return f"{etag}-{stem}{ending}"


def has_name_too_long(key: str) -> bool:
    """Return whether a landed stream file's name is too long for the archive."""
    return len(key.removeprefix(f"{layout.USER_STREAMS}/").encode()) > LANDED_NAME_LIMIT


def _refuse_long_names(bucket: Bucket, streams: Sequence[StoredObject]) -> None:
    too_long = [stream.key for stream in streams if has_name_too_long(stream.key)]
    if too_long:
        msg = (
            f"{bucket.url(too_long[0])}: the name has more than {LANDED_NAME_LIMIT} bytes, too many for the keys of "
            f"archive and quarantine ({len(too_long)} such files); nothing is taken in before it has a shorter name"
        )
        raise NamesRefusedError(msg)


def _iso_date(param: str, value: str) -> date:
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        msg = f"{param} is {value!r}: write a date like 2024-06-25"
        raise DatesRefusedError(msg) from error
