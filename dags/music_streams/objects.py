"""S3 objects under conditions: what is read, copied or deleted is the version that was meant, or nothing."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
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
NOT_FOUND = 404
CONDITION_FAILED = 412


@dataclass(frozen=True)
class StoredObject:
    """One version of an object, as a listing showed it."""

    key: str
    etag: str
    size: int


class ReplacedError(Exception):
    """The object is no longer the version that was meant."""


class GoneError(Exception):
    """The object does not exist (any more)."""


def s3_client() -> "S3Client":
    """Client whose endpoint, Region and credentials come from the environment."""
    return boto3.client("s3", config=Config(max_pool_connections=PARALLEL_REQUESTS, retries={"mode": "standard"}))


def in_parallel(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Results in the order of the items; the first error is raised after the work under way has ended."""
    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        return list(pool.map(work, items))


def list_objects(s3: "S3Client", bucket: str, prefix: str) -> Iterator[StoredObject]:
    """Objects below a prefix, page by page."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", []):
            yield StoredObject(entry["Key"], entry["ETag"], entry["Size"])


def list_level(
    s3: "S3Client", bucket: str, prefix: str, *, delimiter: str = "/"
) -> tuple[list[StoredObject], list[str]]:
    """Objects below a prefix with no delimiter after it; and the other keys, cut behind the first one, each once."""
    objects, beginnings = [], []
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter=delimiter):
        objects += [StoredObject(entry["Key"], entry["ETag"], entry["Size"]) for entry in page.get("Contents", [])]
        beginnings += [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
    return objects, beginnings


def head(s3: "S3Client", bucket: str, key: str) -> StoredObject:
    """The newest version of an object.

    Raises:
        GoneError: there is none.
    """
    try:
        answer = s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        raise _meaning(error, bucket, key) from error
    return StoredObject(key, answer["ETag"], answer["ContentLength"])


def copy_version(s3: "S3Client", bucket: str, source: StoredObject, target: str) -> StoredObject:
    """Copy exactly the version that `source` names; the copy's ETag may differ from the source's.

    Raises:
        ReplacedError: the object holds another version now.
        GoneError: the object was removed.
    """
    origin: CopySourceTypeDef = {"Bucket": bucket, "Key": source.key}
    try:
        if source.size <= COPY_OBJECT_LIMIT:
            answer = s3.copy_object(
                Bucket=bucket,
                Key=target,
                CopySource=origin,
                CopySourceIfMatch=source.etag,
                TaggingDirective="REPLACE",  # by none: a producer's tags are no business of ours, nor of our role
            )
            return StoredObject(target, answer["CopyObjectResult"]["ETag"], source.size)
        # boto3 asks for this ETag when it looks at the source, and again with every part.
        s3.copy(
            origin,
            bucket,
            target,
            ExtraArgs={"CopySourceIfMatch": source.etag},
            Config=TransferConfig(multipart_threshold=1, multipart_chunksize=PART_SIZE),
        )
    except S3CopyFailedError as error:
        raise ReplacedError(f"s3://{bucket}/{source.key} was replaced") from error
    except ClientError as error:
        raise _meaning(error, bucket, source.key) from error
    return head(s3, bucket, target)


def delete_version(s3: "S3Client", bucket: str, version: StoredObject) -> None:
    """Delete an object only while it is the version that is meant.

    Raises:
        ReplacedError: the object holds another version now; it stays.
        GoneError: the object was removed already.
    """
    try:
        s3.delete_object(Bucket=bucket, Key=version.key, IfMatch=version.etag)
    except ClientError as error:
        raise _meaning(error, bucket, version.key) from error


def read_json(s3: "S3Client", bucket: str, key: str) -> dict[str, Any] | None:
    """A JSON record, or None when there is none."""
    try:
        body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if isinstance(_meaning(error, bucket, key), GoneError):
            return None
        raise
    record: dict[str, Any] = json.loads(body)
    return record


def write_json(s3: "S3Client", bucket: str, key: str, record: object) -> None:
    """Write a JSON record, whatever was there."""
    s3.put_object(Bucket=bucket, Key=key, Body=_json(record), ContentType="application/json")


def create_json(s3: "S3Client", bucket: str, key: str, record: object) -> bool:
    """Write a JSON record unless one exists; says whether this call wrote it."""
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=_json(record), ContentType="application/json", IfNoneMatch="*")
    except ClientError as error:
        if isinstance(_meaning(error, bucket, key), ReplacedError):
            return False
        raise
    return True


def missing_keys(s3: "S3Client", bucket: str, keys: Iterable[str]) -> list[str]:
    """Those of the keys that hold no object."""

    def is_missing(key: str) -> bool:
        try:
            head(s3, bucket, key)
        except GoneError:
            return True
        return False

    return [key for key in keys if is_missing(key)]


def _json(record: object) -> bytes:
    return json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False).encode()


def _meaning(error: ClientError, bucket: str, key: str) -> Exception:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    code = error.response.get("Error", {}).get("Code")
    if code == "NoSuchBucket":
        return error
    if status == NOT_FOUND:
        return GoneError(f"s3://{bucket}/{key} does not exist")
    if status == CONDITION_FAILED:
        return ReplacedError(f"s3://{bucket}/{key} was replaced")
    return error
