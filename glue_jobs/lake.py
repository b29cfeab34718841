"""The jobs' access to the bucket beside Spark's: small JSON records and listings."""

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.exceptions import ClientError

# Names inside a batch's folder; the prefixes come as arguments.
MANIFEST = "manifest.json"
CURATION_RECORD = "curation.json"
LOADED_RECORD = "loaded.json"
REJECTED_RECORD = "rejected.json"
# Cut at this letter a batch's folder is listed as five names, however many files it holds, and records keep apart.
RECORD_CUT = "n"

_PARALLEL_READS = 16


class Bucket:
    """One S3 bucket."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._s3 = boto3.client("s3")

    def url(self, key: str) -> str:
        """Return the URL by which Spark and Redshift know `key`."""
        return f"s3://{self.name}/{key}"

    def keys(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield (key, size in bytes) of every object below `prefix`, but for folders.

        Hadoop marks a folder by an empty object whose key ends with a slash, and may leave it there. Read as a file, it
        stands for all files in it.
        """
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix):
            for entry in page.get("Contents", []):
                if not entry["Key"].endswith("/"):
                    yield entry["Key"], entry["Size"]

    def folders(self, prefix: str) -> Iterator[str]:
        """Yield the folders that begin with `prefix`, without a trailing slash."""
        for name in self.cut_keys(prefix, "/"):
            yield name.removesuffix("/")

    def cut_keys(self, prefix: str, cut: str) -> Iterator[str]:
        """Yield the keys that begin with `prefix` and hold `cut` after it, cut behind the first one; each once."""
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix, Delimiter=cut):
            for entry in page.get("CommonPrefixes", []):
                yield entry["Prefix"]

    def lines(self, key: str) -> Iterator[bytes]:
        """Yield the object's lines with their line ends."""
        body = self._s3.get_object(Bucket=self.name, Key=key)["Body"]
        yield from body.iter_lines(chunk_size=1 << 20, keepends=True)

    def read_json(self, key: str) -> dict[str, Any] | None:
        """Return the record at `key`, or None when there is none."""
        try:
            body = self._s3.get_object(Bucket=self.name, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise
        record: dict[str, Any] = json.loads(body)
        return record

    def read_many_json(self, keys: Iterable[str]) -> list[dict[str, Any] | None]:
        """Return the records at `keys` in their order, None for those that are not there."""
        with ThreadPoolExecutor(_PARALLEL_READS) as pool:
            return list(pool.map(self.read_json, keys))

    def write_text(self, key: str, text: str, content_type: str) -> None:
        """Write or replace the object at `key`."""
        self._s3.put_object(Bucket=self.name, Key=key, Body=text.encode(), ContentType=content_type)

    def write_json(self, key: str, record: dict[str, Any]) -> None:
        """Write or replace the record at `key`."""
        self.write_text(key, json.dumps(record, indent=1), "application/json")

    def create_json(self, key: str, record: dict[str, Any]) -> bool:
        """Write the record unless `key` exists already (If-None-Match); return whether it was written."""
        try:
            self._s3.put_object(
                Bucket=self.name,
                Key=key,
                Body=json.dumps(record, indent=1).encode(),
                ContentType="application/json",
                IfNoneMatch="*",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict"):
                return False
            raise
        return True
