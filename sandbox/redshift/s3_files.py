"""Finds the S3 objects that a COPY names, by prefix or by manifest."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, TypedDict

from botocore.exceptions import BotoCoreError, ClientError

from sandbox.redshift.copy_command import CopyCommand
from sandbox.redshift.errors import RefusedError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True)
class S3File:
    """One object to load; `content_length` is its size in bytes according to the manifest."""

    url: str
    content_length: int | None = None


class _Place(TypedDict):
    Bucket: str
    Key: str


def files_of(s3: "S3Client", command: CopyCommand) -> list[S3File]:
    """Returns the objects that the command loads, in order.

    Raises:
        RefusedError: no object exists, or the manifest is missing or invalid, or a mandatory object in it is missing.
    """
    files = _in_manifest(s3, command) if command.manifest else _below_prefix(s3, command.source)
    if not files:
        raise RefusedError(f"COPY found nothing to load: {command.source}")
    return files


@contextmanager
def local_copy(s3: "S3Client", file: S3File) -> Iterator[IO[bytes]]:
    """Yields the object's bytes in a temporary file.

    Raises:
        RefusedError: the object cannot be read, or its size differs from the manifest's.
    """
    with tempfile.TemporaryFile() as local:
        with _s3_errors(file.url):
            answer = s3.get_object(**_place(file.url))
            if file.content_length not in (None, answer["ContentLength"]):
                raise RefusedError(
                    f"Spectrum Scan Error. {file.url} has {answer['ContentLength']} bytes, but the manifest's "
                    f"meta.content_length is {file.content_length}"
                )
            shutil.copyfileobj(answer["Body"], local)
        local.seek(0)
        yield local


def _below_prefix(s3: "S3Client", prefix: str) -> list[S3File]:
    place = _place(prefix)
    with _s3_errors(prefix):
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=place["Bucket"], Prefix=place["Key"])
        found = [item for page in pages for item in page.get("Contents", [])]
    return [S3File(f"s3://{place['Bucket']}/{item['Key']}") for item in found]


def _in_manifest(s3: "S3Client", command: CopyCommand) -> list[S3File]:
    with _s3_errors(command.source):
        content = s3.get_object(**_place(command.source))["Body"].read()
    try:
        return [_in_entry(command, entry) for entry in json.loads(content)["entries"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RefusedError(f"{command.source} is no COPY manifest ({type(error).__name__}: {error})") from error


def _in_entry(command: CopyCommand, entry: dict[str, Any]) -> S3File:
    file = S3File(entry["url"], entry.get("meta", {}).get("content_length"))
    if command.parquet and file.content_length is None:
        raise RefusedError(
            f"the manifest {command.source} lacks meta.content_length for {file.url}, which Parquet needs"
        )
    if entry.get("mandatory") is not True:
        raise RefusedError(
            f"{file.url} is not mandatory in {command.source}: were it missing, Redshift would say nothing"
        )
    return file


@contextmanager
def _s3_errors(url: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise RefusedError(f"S3ServiceException:{error}, File {url}") from error
    except BotoCoreError as error:
        raise RefusedError(f"S3 cannot be reached for {url}: {error}") from error


def _place(url: str) -> _Place:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not url.startswith("s3://") or not bucket or not key:
        raise RefusedError(f"this is no place in S3: {url}")
    return {"Bucket": bucket, "Key": key}
