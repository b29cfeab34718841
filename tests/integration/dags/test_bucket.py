"""Objects under conditions: copies of what CopyObject would refuse for its size, conflicts, and what S3 denies."""

from io import BytesIO
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from urllib3 import HTTPResponse

from contract import bucket
from contract.bucket import Bucket, GoneError, RefusedError, ReplacedError
from tests.integration.dags.conftest import Lake

MEBIBYTE = 1024**2


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "COPY_OBJECT_LIMIT", 5 * MEBIBYTE)
    monkeypatch.setattr(bucket, "PART_SIZE", 5 * MEBIBYTE)


def test_a_large_object_is_copied_in_parts(lake: Lake) -> None:
    content = b"a" * 5 * MEBIBYTE + b"b" * 5 * MEBIBYTE + b"c"
    lake.put("large", content)

    copy = Bucket(lake.bucket, lake.s3).copy(Bucket(lake.bucket, lake.s3).head("large"), "copy")

    assert lake.get("copy") == content
    assert copy == Bucket(lake.bucket, lake.s3).head("copy")
    assert copy.etag.endswith('-3"')


def test_a_large_object_that_was_replaced_is_not_copied(lake: Lake) -> None:
    lake.put("large", b"a" * 6 * MEBIBYTE)
    listed = Bucket(lake.bucket, lake.s3).head("large")
    lake.put("large", b"b" * 6 * MEBIBYTE)

    with pytest.raises(ReplacedError, match="large was replaced"):
        Bucket(lake.bucket, lake.s3).copy(listed, "copy")
    assert lake.keys() == ["large"]


def test_a_large_object_that_is_replaced_between_two_parts_is_not_copied(lake: Lake) -> None:
    lake.put("large", b"a" * 6 * MEBIBYTE)
    listed = Bucket(lake.bucket, lake.s3).head("large")
    lake.before("UploadPartCopy", lambda _: lake.put("large", b"b" * 6 * MEBIBYTE))

    with pytest.raises(ReplacedError, match="large was replaced"):
        Bucket(lake.bucket, lake.s3).copy(listed, "copy")
    assert lake.keys() == ["large"]


def test_a_large_object_that_was_removed_is_not_copied(lake: Lake) -> None:
    lake.put("large", b"a" * 6 * MEBIBYTE)
    listed = Bucket(lake.bucket, lake.s3).head("large")
    lake.remove("large")

    with pytest.raises(GoneError, match="large does not exist"):
        Bucket(lake.bucket, lake.s3).copy(listed, "copy")


def answers(lake: Lake, operation: str, *statuses: int) -> None:
    """Let S3 answer the next calls of an operation so, and then by itself."""
    left = list(statuses)

    def answer(request: Any, **_: object) -> Any:
        return AWSResponse(request.url, left.pop(0), HTTPHeaders(), HTTPResponse(BytesIO(b""))) if left else None

    lake.s3.meta.events.register(f"before-send.s3.{operation}", answer)


def test_a_conflict_with_a_write_in_flight_is_no_lost_race(lake: Lake) -> None:
    answers(lake, "PutObject", 409, 409)
    assert Bucket(lake.bucket, lake.s3).create_json("record", {"first": True})
    assert lake.record("record") == {"first": True}


def test_an_object_that_s3_denies_is_named_with_the_way_out(lake: Lake) -> None:
    answers(lake, "GetObject", 403)
    with pytest.raises(RefusedError, match=rf"s3://{lake.bucket}/a cannot be read: .*Let the role of this task have"):
        Bucket(lake.bucket, lake.s3).read("a")
