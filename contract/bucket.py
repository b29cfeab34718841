"""Conditional S3 access: a call reads, copies or deletes the intended version of an object, or does nothing."""

import json
import random
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import boto3
from boto3.exceptions import S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError
from s3transfer.exceptions import S3CopyFailedError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CopySourceTypeDef

Item = TypeVar("Item")
Result = TypeVar("Result")

PARALLEL_REQUESTS = 16
COPY_OBJECT_LIMIT = 5 * 1024**3  # bytes; CopyObject refuses larger objects, which are copied in parts
PART_SIZE = 512 * 1024**2
COPY_BYTES = 1024**2  # read and written per step of a download
CONFLICT_TRIES = 8
LONGEST_CONFLICT_PAUSE = 2.0  # seconds

# The error codes of GetObject and CopyObject for an object that must be restored before it can be read.
ARCHIVED = frozenset({"InvalidObjectState", "ObjectNotInActiveTierError"})
FORBIDDEN = 403
NOT_FOUND = 404
CONFLICT = 409
CONDITION_FAILED = 412


@dataclass(frozen=True)
class StoredObject:
    """One version of an object, as a listing showed it; `size` in bytes."""

    key: str
    etag: str
    size: int


class ReplacedError(Exception):
    """The object is no longer the intended version."""


class GoneError(Exception):
    """The object does not exist (any more)."""


class RefusedError(Exception):
    """S3 refuses the request for this object; the message gives the reason and the remedy."""


def s3_client() -> "S3Client":
    """Return a client whose endpoint, Region and credentials come from the environment."""
    return boto3.client("s3", config=Config(max_pool_connections=PARALLEL_REQUESTS, retries={"mode": "standard"}))


def in_parallel(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Return the results in the order of the items; raise the first error after the calls under way have ended."""
    if len(items) == 1:
        return [work(items[0])]
    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        return list(pool.map(work, items))


class Bucket:
    """One S3 bucket.

    Every method may raise RefusedError, if S3 denies access to an object or cannot copy it, and botocore's ClientError
    for errors that no caller can handle.
    """

    def __init__(self, name: str, s3: "S3Client | None" = None) -> None:
        """Use the client `s3`; without it one with the environment's endpoint, Region and credentials."""
        self.name = name
        self.s3 = s3 or s3_client()

    def __reduce__(self) -> Any:
        # Unpickling uses the receiving process's client, since making a client costs as much as a small query.
        return _bucket_of_process, (self.name,)

    def url(self, key: str) -> str:
        """Return an object's `s3://` URL, which people, Glue and Redshift use."""
        return f"s3://{self.name}/{key}"

    def objects(self, prefix: str) -> Iterator[StoredObject]:
        """Yield the objects below a prefix, page by page, without the empty ones that mark folders."""
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix):
            for entry in page.get("Contents", []):
                if not entry["Key"].endswith("/"):
                    yield StoredObject(entry["Key"], entry["ETag"], entry["Size"])

    def level(self, prefix: str, *, delimiter: str = "/") -> tuple[list[StoredObject], list[str]]:
        """List one level below a prefix.

        Returns:
            The objects with no delimiter after the prefix; and the other keys, cut after the first delimiter.
        """
        objects, beginnings = [], []
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix, Delimiter=delimiter)
        for page in pages:
            objects += [StoredObject(entry["Key"], entry["ETag"], entry["Size"]) for entry in page.get("Contents", [])]
            beginnings += [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
        return objects, beginnings

    def head(self, key: str) -> StoredObject:
        """Return the newest version of an object.

        Raises:
            GoneError: there is no such object.
        """
        try:
            answer = self.s3.head_object(Bucket=self.name, Key=key)
        except ClientError as error:
            raise self._meaning(error, key, "read") from error
        return StoredObject(key, answer["ETag"], answer["ContentLength"])

    def written(self, key: str) -> tuple[StoredObject, datetime] | None:
        """Return an object and its time of writing (whole seconds), as a listing shows them; None if it is missing."""
        found = self.s3.list_objects_v2(Bucket=self.name, Prefix=key, MaxKeys=1).get("Contents", [])
        if not found or found[0]["Key"] != key:
            return None
        return StoredObject(key, found[0]["ETag"], found[0]["Size"]), found[0]["LastModified"]

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Return the keys that hold no object."""

        def is_missing(key: str) -> bool:
            try:
                self.head(key)
            except GoneError:
                return True
            return False

        return [key for key in keys if is_missing(key)]

    def open(self, key: str, *, etag: str | None = None) -> AbstractContextManager[BinaryIO]:
        """Open the object's bytes as a stream; with `etag` only those of that version.

        Raises:
            GoneError: there is no such object.
            ReplacedError: it holds another version now.
        """
        condition: Any = {"IfMatch": etag} if etag else {}
        return closing(self._get(key, **condition)["Body"])

    def read(self, key: str) -> bytes:
        """Return the object's bytes.

        Raises:
            GoneError: there is no such object.
        """
        with self.open(key) as body:
            return body.read()

    def read_range(self, key: str, first: int, end: int) -> tuple[bytes, int]:
        """Return the object's bytes from `first` until before `end`, or to its last one, and its size in bytes.

        Raises:
            GoneError: there is no such object.
        """
        answer = self._get(key, Range=f"bytes={first}-{end - 1}")
        with closing(answer["Body"]) as body:
            return body.read(), int(answer["ContentRange"].rpartition("/")[2])

    def write(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> None:
        """Write an object; replace one that exists."""
        try:
            self.s3.put_object(Bucket=self.name, Key=key, Body=content, ContentType=content_type)
        except ClientError as error:
            raise self._meaning(error, key, "written") from error

    def upload(self, file: Path, key: str) -> None:
        """Write a local file as an object, in parts when it is large."""
        try:
            self.s3.upload_file(str(file), self.name, key)
        except S3UploadFailedError as error:
            raise RefusedError(f"{self.url(key)} cannot be written: {error}") from error

    def download(self, key: str, file: Path) -> None:
        """Write an object to a local file.

        Raises:
            GoneError: there is no such object.
        """
        with self.open(key) as body, file.open("wb") as out:
            shutil.copyfileobj(body, out, COPY_BYTES)

    def copy(self, source: StoredObject, target: str) -> StoredObject:
        """Copy exactly the version that `source` names; the copy's ETag may differ from the source's.

        Raises:
            ReplacedError: the object holds another version now.
            GoneError: the object was removed.
        """
        origin: CopySourceTypeDef = {"Bucket": self.name, "Key": source.key}
        try:
            if source.size <= COPY_OBJECT_LIMIT:
                answer = self.s3.copy_object(
                    Bucket=self.name,
                    Key=target,
                    CopySource=origin,
                    CopySourceIfMatch=source.etag,
                    TaggingDirective="REPLACE",  # by no tags, since copying a producer's tags would need further rights
                )
                return StoredObject(target, answer["CopyObjectResult"]["ETag"], source.size)
            # boto3 sends this ETag as a condition when it heads the source, and again with every part.
            self.s3.copy(
                origin,
                self.name,
                target,
                ExtraArgs={"CopySourceIfMatch": source.etag},
                Config=TransferConfig(multipart_threshold=1, multipart_chunksize=PART_SIZE),
            )
        except S3CopyFailedError as error:
            raise ReplacedError(f"{self.url(source.key)} was replaced") from error
        except ClientError as error:
            raise self._meaning(error, source.key, "copied") from error
        return self.head(target)

    def delete(self, version: StoredObject) -> None:
        """Delete an object only if it is still the intended version.

        Raises:
            ReplacedError: the object holds another version now; it stays.
            GoneError: the object was removed already.
        """
        try:
            self._retry_conflicts(
                lambda: self.s3.delete_object(Bucket=self.name, Key=version.key, IfMatch=version.etag)
            )
        except ClientError as error:
            raise self._meaning(error, version.key, "deleted") from error

    def read_json(self, key: str) -> dict[str, Any] | None:
        """Read a JSON record; None if it does not exist."""
        try:
            record: dict[str, Any] = json.loads(self.read(key))
        except GoneError:
            return None
        return record

    def read_many_json(self, keys: Iterable[str]) -> list[dict[str, Any] | None]:
        """Read the records at `keys`, in their order; None for each that does not exist."""
        return in_parallel(self.read_json, list(keys))

    def write_json(self, key: str, record: object) -> None:
        """Write a JSON record; replace one that exists."""
        self.write(key, _json(record), "application/json")

    def create_json(self, key: str, record: object) -> bool:
        """Write a JSON record unless one exists (If-None-Match); return whether this call wrote it."""
        try:
            self._retry_conflicts(
                lambda: self.s3.put_object(
                    Bucket=self.name, Key=key, Body=_json(record), ContentType="application/json", IfNoneMatch="*"
                )
            )
        except ClientError as error:
            meaning = self._meaning(error, key, "written")
            if isinstance(meaning, ReplacedError):
                return False
            raise meaning from error
        return True

    def _get(self, key: str, **request: Any) -> Any:
        try:
            return self.s3.get_object(Bucket=self.name, Key=key, **request)
        except ClientError as error:
            raise self._meaning(error, key, "read") from error

    def _retry_conflicts(self, request: Callable[[], Result]) -> Result:
        """Repeat a conditional request while S3 answers 409: another write is in flight, and neither has won yet."""
        for tried in range(1, CONFLICT_TRIES + 1):
            try:
                return request()
            except ClientError as error:
                if _status(error) != CONFLICT or tried == CONFLICT_TRIES:
                    raise
            time.sleep(random.uniform(0, min(LONGEST_CONFLICT_PAUSE, 0.05 * 2**tried)))  # noqa: S311
        raise AssertionError("the last try returns or raises")

    def _meaning(self, error: ClientError, key: str, done: str) -> Exception:
        """Translate `error` into one that a caller can handle, or return it unchanged."""
        status, code = _status(error), error.response.get("Error", {}).get("Code", "")
        if code == "NoSuchBucket":
            return error
        if status == NOT_FOUND:
            return GoneError(f"{self.url(key)} does not exist")
        if status == CONDITION_FAILED:
            return ReplacedError(f"{self.url(key)} was replaced")
        if code in ARCHIVED:
            return RefusedError(
                f"{self.url(key)} cannot be {done}: its storage class must be restored first (aws s3api "
                "restore-object); restore it, or delete it (aws s3 rm), and run again"
            )
        if status == FORBIDDEN or code.startswith("KMS."):
            return RefusedError(
                f"{self.url(key)} cannot be {done}: {error}. Let the role of this task have the object and the key "
                "that encrypts it, or delete the object (aws s3 rm); then run again"
            )
        return error


@cache
def _bucket_of_process(name: str) -> Bucket:
    return Bucket(name)


def _status(error: ClientError) -> int | None:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")


def _json(record: object) -> bytes:
    return json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False).encode()
