"""S3 access under conditions: a call reads, copies or deletes the intended version of an object, or nothing."""

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
COPY_OBJECT_LIMIT = 5 * 1024**3  # bytes; CopyObject refuses more, copies in parts go on
PART_SIZE = 512 * 1024**2
COPY_BYTES = 1024**2  # read and written at once
CONFLICT_TRIES = 8
LONGEST_CONFLICT_PAUSE = 2.0  # seconds

# What GetObject and CopyObject answer for an object that must be restored before it can be read.
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
    """The object is no longer the version that was meant."""


class GoneError(Exception):
    """The object does not exist (any more)."""


class RefusedError(Exception):
    """S3 refuses the request for this object; the message says why, and what to do."""


def s3_client() -> "S3Client":
    """Client whose endpoint, Region and credentials come from the environment."""
    return boto3.client("s3", config=Config(max_pool_connections=PARALLEL_REQUESTS, retries={"mode": "standard"}))


def in_parallel(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Results in the order of the items; the first error is raised after the work under way has ended."""
    if len(items) == 1:
        return [work(items[0])]
    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        return list(pool.map(work, items))


class Bucket:
    """One S3 bucket.

    Every method may raise RefusedError, where S3 denies access to an object or cannot copy it, and botocore's
    ClientError for what no caller can do anything about.
    """

    def __init__(self, name: str, s3: "S3Client | None" = None) -> None:
        """Without `s3` the environment's endpoint, Region and credentials count."""
        self.name = name
        self.s3 = s3 or s3_client()

    def __reduce__(self) -> Any:
        # Sent to another process, it takes that process's client: a client costs as much as a small query.
        return _bucket_of_process, (self.name,)

    def url(self, key: str) -> str:
        """The URL by which people, Glue and Redshift know an object."""
        return f"s3://{self.name}/{key}"

    def objects(self, prefix: str) -> Iterator[StoredObject]:
        """Objects below a prefix, page by page, but for the empty ones that mark folders."""
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix):
            for entry in page.get("Contents", []):
                if not entry["Key"].endswith("/"):
                    yield StoredObject(entry["Key"], entry["ETag"], entry["Size"])

    def level(self, prefix: str, *, delimiter: str = "/") -> tuple[list[StoredObject], list[str]]:
        """Objects below a prefix with no delimiter after it; and the beginnings of the others, up to the first one."""
        objects, beginnings = [], []
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix, Delimiter=delimiter)
        for page in pages:
            objects += [StoredObject(entry["Key"], entry["ETag"], entry["Size"]) for entry in page.get("Contents", [])]
            beginnings += [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
        return objects, beginnings

    def head(self, key: str) -> StoredObject:
        """The newest version of an object.

        Raises:
            GoneError: there is none.
        """
        try:
            answer = self.s3.head_object(Bucket=self.name, Key=key)
        except ClientError as error:
            raise self._meaning(error, key, "read") from error
        return StoredObject(key, answer["ETag"], answer["ContentLength"])

    def written(self, key: str) -> tuple[StoredObject, datetime] | None:
        """An object and when it was written, in whole seconds, as a listing shows both; None if there is none."""
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
        """The object's bytes as a stream; with `etag` only those of that version.

        Raises:
            GoneError: there is no such object.
            ReplacedError: it holds another version now.
        """
        condition: Any = {"IfMatch": etag} if etag else {}
        return closing(self._get(key, **condition)["Body"])

    def read(self, key: str) -> bytes:
        """The object's bytes.

        Raises:
            GoneError: there is no such object.
        """
        with self.open(key) as body:
            return body.read()

    def read_range(self, key: str, first: int, end: int) -> tuple[bytes, int]:
        """The object's bytes from `first` until before `end`, fewer at its end; and its size in bytes.

        Raises:
            GoneError: there is no such object.
        """
        answer = self._get(key, Range=f"bytes={first}-{end - 1}")
        with closing(answer["Body"]) as body:
            return body.read(), int(answer["ContentRange"].rpartition("/")[2])

    def write(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> None:
        """Write an object, whatever was there."""
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
                    TaggingDirective="REPLACE",  # by none: copying a producer's tags takes rights that we do not need
                )
                return StoredObject(target, answer["CopyObjectResult"]["ETag"], source.size)
            # boto3 asks for this ETag when it looks at the source, and again with every part.
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
        """Delete an object only while it is the version that is meant.

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
        """Write a JSON record, whatever was there."""
        self.write(key, _json(record), "application/json")

    def create_json(self, key: str, record: object) -> bool:
        """Write a JSON record unless one exists (If-None-Match); says whether this call wrote it."""
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
        """Repeat a conditional request while S3 answers 409: another write is in flight, and nobody has lost yet."""
        for tried in range(1, CONFLICT_TRIES + 1):
            try:
                return request()
            except ClientError as error:
                if _status(error) != CONFLICT or tried == CONFLICT_TRIES:
                    raise
            time.sleep(random.uniform(0, min(LONGEST_CONFLICT_PAUSE, 0.05 * 2**tried)))  # noqa: S311
        raise AssertionError("the last try returns or raises")

    def _meaning(self, error: ClientError, key: str, done: str) -> Exception:
        """Translate into an error that a caller can act upon; else return `error` itself."""
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
