"""Upload code to the bucket: only changed files, and delete files from the DAG folder that are no longer deployed."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MISSING = frozenset({"404", "NoSuchKey", "NoSuchBucket"})


@dataclass(frozen=True)
class Differences:
    """The names that a folder in the bucket lacks, and the names that do not belong there."""

    to_upload: list[str]
    to_delete: list[str]


class Folder:
    """A folder of the bucket that mirrors a local one.

    An index beside it holds the digests of its files, since the ETags of an encrypted bucket are not digests. The index
    is written last: after an interrupted upload, files that it does not list are uploaded again.
    """

    def __init__(self, s3: "S3Client", bucket: str, prefix: str, local: Path) -> None:
        """Compare `local` with the folder at `prefix`, which has no slash at its end."""
        self._s3 = s3
        self._bucket = bucket
        self._prefix = prefix
        self._index = f"{prefix}.index.json"
        self._files = {
            file.relative_to(local).as_posix(): file.read_bytes() for file in sorted(local.rglob("*")) if file.is_file()
        }

    def differences(self) -> Differences:
        """Return the differences, without changing anything."""
        indexed: dict[str, str] = json.loads(read(self._s3, self._bucket, self._index) or b"{}")
        there = set(self._listed())
        return Differences(
            [
                name
                for name, content in self._files.items()
                if name not in there or indexed.get(name) != _digest(content)
            ],
            sorted(there - self._files.keys()),
        )

    def mirror(self) -> Differences:
        """Make the folder in the bucket equal to the local one."""
        differences = self.differences()
        for name in differences.to_upload:
            self._s3.put_object(Bucket=self._bucket, Key=f"{self._prefix}/{name}", Body=self._files[name])
        for name in differences.to_delete:
            self._s3.delete_object(Bucket=self._bucket, Key=f"{self._prefix}/{name}")
        index = {name: _digest(content) for name, content in self._files.items()}
        upload(self._s3, self._bucket, self._index, json.dumps(index, indent=1).encode())
        return differences

    def _listed(self) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=f"{self._prefix}/")
        return [entry["Key"][len(self._prefix) + 1 :] for page in pages for entry in page.get("Contents", [])]


def upload(s3: "S3Client", bucket: str, key: str, content: bytes) -> str:
    """Make the object hold the content; return its version, which is the old one if the content is unchanged."""
    if read(s3, bucket, key) == content:
        return s3.head_object(Bucket=bucket, Key=key)["VersionId"]
    return s3.put_object(Bucket=bucket, Key=key, Body=content)["VersionId"]


def upload_missing(s3: "S3Client", bucket: str, objects: Mapping[str, bytes]) -> list[str]:
    """Upload the objects that do not exist yet, since their names identify their content; return their keys."""
    missing = [key for key in objects if not exists(s3, bucket, key)]
    for key in missing:
        s3.put_object(Bucket=bucket, Key=key, Body=objects[key])
    return missing


def read(s3: "S3Client", bucket: str, key: str) -> bytes | None:
    """Return the object's bytes; None if it does not exist."""
    try:
        return s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] in MISSING:
            return None
        raise


def exists(s3: "S3Client", bucket: str, key: str) -> bool:
    """Return whether the object exists."""
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] in MISSING:
            return False
        raise
    return True


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
