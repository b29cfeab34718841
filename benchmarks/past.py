"""Write the objects that runs of past days would have left in the lake, without running them.

Only the first day is run. For each later day its objects are copied with other ids, dates and events. The copies are
written into the store of the sandbox's S3 while its server is down, since 16,000 requests would take minutes.
"""

import hashlib
import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.day import Lake, batch_of
from contract import layout
from sandbox.aws.object_store import ObjectStore, StoredVersion
from sandbox.aws.s3 import KEPT_ATTRIBUTES

Files = Mapping[str, bytes]
"""Stream files by name."""

_TIME = re.compile(r"\d{4}-\d\d-\d\d ([01]\d|2[0-3]):[0-5]\d:[0-5]\d")
_NO_DATES = ("2024-02-30", "2099-12-31")  # the invalid dates in the sample data


class Events:
    """The accepted events by date, each as its row `user_id,track_id,listen_time`; the KPI tables must count them."""

    def __init__(self) -> None:
        self._of_date = defaultdict[str, set[str]](set)

    def accept(self, files: Iterable[bytes]) -> dict[str, list[str]]:
        """Add the events of stream files; return the new ones, by date."""
        new = defaultdict[str, list[str]](list)
        for content in files:
            for line in content.decode().splitlines()[1:]:
                event = _event(line)
                if event and event not in self._of_date[day_of(event)]:
                    self._of_date[day_of(event)].add(event)
                    new[day_of(event)].append(event)
        return dict(new)

    def plays(self, dates: Iterable[str]) -> dict[str, int]:
        """Return the number of events on each of the dates."""
        return {listen_date: len(self._of_date[listen_date]) for listen_date in dates}

    def copy(self) -> "Events":
        """Return an independent copy, which does not share events accepted later."""
        copied = Events()
        copied._of_date.update((listen_date, set(events)) for listen_date, events in self._of_date.items())
        return copied


def dates_of(files: Iterable[bytes]) -> list[str]:
    """Return the dates of all good rows, duplicates included."""
    events = (_event(line) for content in files for line in content.decode().splitlines()[1:])
    return sorted({day_of(event) for event in events if event})


def day_of(event: str) -> str:
    """Return the date of an event."""
    return event[-19:-9]


def _event(line: str) -> str | None:
    fields = [field.strip(' "') for field in line.split(",")]
    if len(fields) != 3 or not all(fields) or not _TIME.fullmatch(fields[2]) or fields[2][:10] in _NO_DATES:
        return None
    return ",".join(fields)


class Past:
    """Writes the objects of the days after a first day, which was run, as if these days had been run, too."""

    def __init__(self, first: date, year: Lake, events: Events) -> None:
        """Read the objects that the run of the `first` day has left; `events` are those accepted so far."""
        self._first = first
        self._bucket = year.bucket.name
        self._events = events
        written = {key: year.bucket.read(key) for key in year.stored() if batch_of(first) in key}
        self._record: dict[str, Any] = json.loads(written.pop(layout.BatchFolder(batch_of(first)).curation_record))
        parquet = {file["key"] for file in self._record["curated_files"]}
        self._others = {key: content for key, content in written.items() if key not in parquet}
        self._objects_per_day = Counter[date]()

    def write(self, store: ObjectStore, day: date, files: Files) -> None:
        """Write all objects that the run of `day` would have left after taking in `files`."""
        new = self._events.accept(files.values())
        curated = {self._curated_key(day, listen_date): (listen_date, rows) for listen_date, rows in new.items()}
        for key, (_, rows) in curated.items():
            self._put(store, day, key, _parquet(rows))
        record = self._renamed(day, json.dumps(self._record))
        entries = [
            {"key": key, "listen_date": listen_date, "rows": len(rows)}
            for key, (listen_date, rows) in sorted(curated.items())
        ]
        accepted = {listen_date: len(rows) for listen_date, rows in sorted(new.items())}
        rows_read = sum(content.count(b"\n") - 1 for content in files.values())
        written = json.loads(record) | {
            "rows_read": rows_read,
            "rows_accepted": sum(accepted.values()),
            "rows_duplicate": rows_read - self._record["rows_rejected"] - sum(accepted.values()),
            "accepted_by_date": accepted,
            "dates": dates_of(files.values()),
            "curated_files": entries,
        }
        folder = layout.BatchFolder(batch_of(day))
        self._put(store, day, folder.curation_record, json.dumps(written, indent=1).encode())
        for key, content in self._others.items():
            # Nothing reads pinned or archived files after their batch is loaded, so the copies have only the header.
            is_input = key.startswith((layout.ARCHIVE, layout.BatchFolder(batch_of(self._first)).pins))
            is_text = key.endswith((".json", ".html"))
            body = content[: content.find(b"\n") + 1] if is_input else content
            self._put(
                store, day, self._renamed(day, key), self._renamed(day, body.decode()).encode() if is_text else body
            )

    def objects(self, day: date) -> int:
        """Return the number of objects that were written for the day."""
        return self._objects_per_day[day]

    def _curated_key(self, day: date, listen_date: str) -> str:
        attempt = self._record["attempt"]
        return (
            f"{layout.CURATED}/listen_date={listen_date}/batch_id={batch_of(day)}/attempt={attempt}/part-00000.parquet"
        )

    def _renamed(self, day: date, text: str) -> str:
        return text.replace(batch_of(self._first), batch_of(day)).replace(self._first.isoformat(), day.isoformat())

    def _put(self, store: ObjectStore, day: date, key: str, content: bytes) -> None:
        value = store.write_value(self._bucket, key, content)
        attributes = dict.fromkeys(KEPT_ATTRIBUTES) | {
            "size": len(content),
            "etag": hashlib.md5(content, usedforsecurity=False).hexdigest(),
            "storage": "STANDARD",
            "is_versioned": False,
            "metadata": {},
        }
        store.save(self._bucket, key, [StoredVersion("null", datetime.now(UTC), value.path.name, attributes)])
        self._objects_per_day[day] += 1


def object_store(endpoint_home: Path) -> ObjectStore:
    """Return the object store of an endpoint that is down."""
    return ObjectStore(endpoint_home / "s3")


def _parquet(rows: Iterable[str]) -> bytes:
    users, tracks, times = zip(*(row.split(",") for row in rows), strict=True)
    listen_time = pc.strptime(pa.array(times), "%Y-%m-%d %H:%M:%S", "us").cast(pa.timestamp("us", "UTC"))
    buffer = io.BytesIO()
    pq.write_table(pa.table({"user_id": users, "track_id": tracks, "listen_time": listen_time}), buffer)
    return buffer.getvalue()
