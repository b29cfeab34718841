"""Copies of what CopyObject would refuse for its size: in parts, of one version all the same."""

import pytest

from contract import bucket
from contract.bucket import Bucket, GoneError, ReplacedError
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
