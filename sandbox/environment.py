"""The output of `make env`."""

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from contract import layout, variables
from sandbox.settings import BUCKET, client_variables, search_path

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from sandbox.home import Home
    from sandbox.settings import Ports

# If the user's shell sets these, boto3 takes the keys of another account.
CONTRADICTING = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN")


def shell_lines(home: "Home", ports: "Ports", s3: "S3Client", path: str) -> Iterator[str]:
    """Yield lines for a shell to evaluate; they put .venv's programs before `path`, the user's PATH."""
    yield f"unset {' '.join(CONTRADICTING)}"
    exported = client_variables(home, ports) | {
        variables.BATCH_ID.name: last_committed_batch(s3) or "",
        "PATH": search_path(path),
    }
    for name, value in exported.items():
        yield f"export {name}={shlex.quote(value)}"


def last_committed_batch(s3: "S3Client") -> str | None:
    """Return the batch with the newest curation record; None if no batch has one."""
    records = [
        (entry["LastModified"], entry["Key"].split("/")[-2])
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{layout.BATCHES}/")
        for entry in page.get("Contents", [])
        if entry["Key"].endswith(f"/{layout.CURATION_RECORD}")
    ]
    return max(records)[1] if records else None
