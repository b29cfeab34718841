"""Stores S3 objects on disk, so that they outlive the server.

Below `<root>/<bucket>/`, a key has one record, `<sha256 of the key>.json`, and one value file per version. To change a
key, the store writes the new values, then replaces the record by a rename, then removes the values that the record no
longer names. So a crash leaves the old state or the new one, and perhaps values that no record names, which the next
start removes. File names are hashes because keys may be longer than file names, and hold any character.
"""

import hashlib
import io
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class StoredVersion:
    """One version of a key, as its record keeps it; a delete marker has no value file."""

    version_id: str
    last_modified: datetime
    value_file: str | None
    attributes: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


class StoredValue(io.RawIOBase):
    """The bytes of a stored version; it opens the file for each read, so that keys use no file descriptors."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._position = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END:
            offset += self.path.stat().st_size
        elif whence == os.SEEK_CUR:
            offset += self._position
        self._position = offset
        return offset

    def read(self, size: int | None = -1) -> bytes:
        with self.path.open("rb") as value:
            value.seek(self._position)
            block = value.read(-1 if size is None else size)
        self._position += len(block)
        return block


class ObjectStore:
    """The stored buckets and keys. Not thread-safe: its caller serialises writes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)

    def buckets(self) -> dict[str, dict[str, Any]]:
        """Returns the attributes of each stored bucket, by name."""
        return {path.parent.name: json.loads(path.read_bytes()) for path in sorted(self._root.glob("*/bucket.json"))}

    def save_bucket(self, bucket: str, attributes: dict[str, Any]) -> None:
        folder = self._root / bucket
        (folder / "objects").mkdir(parents=True, exist_ok=True)
        _replace(folder / "bucket.json", attributes)

    def remove_bucket(self, bucket: str) -> None:
        shutil.rmtree(self._root / bucket, ignore_errors=True)

    def write_value(self, bucket: str, key: str, value: bytes) -> StoredValue:
        """Stores bytes for a version of the key; they count once `save` names them."""
        path = self._root / bucket / "objects" / f"{_digest(key)}.{uuid.uuid4().hex}"
        path.write_bytes(value)
        return StoredValue(path)

    def save(self, bucket: str, key: str, versions: list[StoredVersion]) -> None:
        """Replaces the key's versions by these, oldest first; an empty list removes the key."""
        record = self._root / bucket / "objects" / f"{_digest(key)}.json"
        before = _read_record(record)[1] if record.exists() else []
        if versions:
            listed = [asdict(version) | {"last_modified": version.last_modified.isoformat()} for version in versions]
            _replace(record, {"key": key, "versions": listed})
        else:
            record.unlink(missing_ok=True)
        kept = {version.value_file for version in versions}
        for version in before:
            if version.value_file and version.value_file not in kept:
                record.with_name(version.value_file).unlink(missing_ok=True)

    def load(self, bucket: str) -> Iterator[tuple[str, list[StoredVersion]]]:
        """Yields every key with its versions, oldest first. Removes the files that a crash left half-written."""
        folder = self._root / bucket / "objects"
        names = {entry.name for entry in os.scandir(folder)}
        records = {name for name in names if name.endswith(".json")}
        unnamed = names - records
        for name in sorted(records):
            key, versions = _read_record(folder / name)
            unnamed -= {version.value_file for version in versions if version.value_file}
            yield key, versions
        for name in unnamed:
            (folder / name).unlink()

    def stored_value(self, bucket: str, value_file: str) -> StoredValue:
        return StoredValue(self._root / bucket / "objects" / value_file)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _read_record(path: Path) -> tuple[str, list[StoredVersion]]:
    record = json.loads(path.read_bytes())
    versions = [
        StoredVersion(**version | {"last_modified": datetime.fromisoformat(version["last_modified"])})
        for version in record["versions"]
    ]
    return record["key"], versions


def _replace(path: Path, content: dict[str, Any]) -> None:
    written = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    written.write_text(json.dumps(content))
    written.replace(path)
