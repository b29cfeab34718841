"""Conditional calls: stale ETags are refused, fresh ones accepted, and of many at once one wins."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from sandbox.aws.endpoint import AwsEndpoint

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CopySourceTypeDef, DeleteTypeDef

STALE = '"00000000000000000000000000000000"'


@pytest.fixture
def etag(s3: "S3Client", bucket: str) -> str:
    """Of the object `source`."""
    return s3.put_object(Bucket=bucket, Key="source", Body=b"0123456789")["ETag"]


def refused(call: Callable[[], Any]) -> tuple[int, str]:
    """The status and code with which S3 refuses a call."""
    with pytest.raises(ClientError) as error:
        call()
    return error.value.response["ResponseMetadata"]["HTTPStatusCode"], error.value.response["Error"]["Code"]


def exists(s3: "S3Client", bucket: str, key: str) -> bool:
    return s3.list_objects_v2(Bucket=bucket, Prefix=key)["KeyCount"] == 1


def test_copy_looks_at_its_source(s3: "S3Client", bucket: str, etag: str) -> None:
    def copy(**condition: Any) -> Any:
        return s3.copy_object(
            Bucket=bucket,
            Key="copy",
            CopySource={"Bucket": bucket, "Key": "source"},
            **condition,
        )

    assert refused(lambda: copy(CopySourceIfMatch=STALE)) == (412, "PreconditionFailed")
    assert refused(lambda: copy(CopySourceIfNoneMatch=etag)) == (412, "PreconditionFailed")
    assert not exists(s3, bucket, "copy")
    copy(CopySourceIfMatch=etag)
    copy(CopySourceIfMatch=etag.strip('"'))
    copy(CopySourceIfNoneMatch=STALE)
    assert exists(s3, bucket, "copy")


def test_copy_of_a_replaced_object_is_refused(s3: "S3Client", bucket: str, etag: str) -> None:
    s3.put_object(Bucket=bucket, Key="source", Body=b"replaced")
    source: CopySourceTypeDef = {"Bucket": bucket, "Key": "source"}
    assert refused(lambda: s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, CopySourceIfMatch=etag)) == (
        412,
        "PreconditionFailed",
    )


def test_copy_of_a_withdrawn_object_is_not_found(s3: "S3Client", bucket: str, etag: str) -> None:
    s3.delete_object(Bucket=bucket, Key="source")
    source: CopySourceTypeDef = {"Bucket": bucket, "Key": "source"}
    answer = refused(lambda: s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, CopySourceIfMatch=etag))
    assert answer == (404, "NoSuchKey")


def test_copy_looks_at_its_destination(s3: "S3Client", bucket: str, etag: str) -> None:
    source: CopySourceTypeDef = {"Bucket": bucket, "Key": "source"}

    def copy(key: str, **condition: Any) -> Any:
        return s3.copy_object(Bucket=bucket, Key=key, CopySource=source, **condition)

    copy("once", IfNoneMatch="*")
    assert refused(lambda: copy("once", IfNoneMatch="*")) == (412, "PreconditionFailed")
    assert refused(lambda: copy("once", IfMatch=STALE)) == (412, "PreconditionFailed")
    assert refused(lambda: copy("never", IfMatch=etag)) == (404, "NoSuchKey")
    copy("once", IfMatch=etag)


def test_a_copied_part_looks_at_its_source(s3: "S3Client", bucket: str, etag: str) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="copy")["UploadId"]

    def copy(**condition: Any) -> str:
        return s3.upload_part_copy(
            Bucket=bucket,
            Key="copy",
            UploadId=upload,
            PartNumber=1,
            CopySource={"Bucket": bucket, "Key": "source"},
            CopySourceRange="bytes=2-4",
            **condition,
        )["CopyPartResult"]["ETag"]

    assert refused(lambda: copy(CopySourceIfMatch=STALE)) == (412, "PreconditionFailed")
    part = copy(CopySourceIfMatch=etag)
    s3.complete_multipart_upload(
        Bucket=bucket, Key="copy", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]}
    )
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"234"


def test_bulk_delete_refuses_stale_keys_one_by_one(s3: "S3Client", bucket: str, etag: str) -> None:
    fresh = s3.put_object(Bucket=bucket, Key="a & <b>", Body=b"y")["ETag"]
    s3.put_object(Bucket=bucket, Key="unconditional", Body=b"z")
    answer = s3.delete_objects(
        Bucket=bucket,
        Delete={
            "Objects": [
                {"Key": "source", "ETag": STALE},
                {"Key": "a & <b>", "ETag": fresh},
                {"Key": "unconditional"},
                {"Key": "absent", "ETag": fresh},
            ]
        },
    )
    assert sorted(entry["Key"] for entry in answer["Deleted"]) == ["a & <b>", "unconditional"]
    assert {entry["Key"]: entry["Code"] for entry in answer["Errors"]} == {
        "source": "PreconditionFailed",
        "absent": "NoSuchKey",
    }
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["source"]


def test_bulk_delete_with_stale_keys_only_deletes_nothing(s3: "S3Client", bucket: str, etag: str) -> None:
    for quiet in (True, False):
        delete: DeleteTypeDef = {"Objects": [{"Key": "source", "ETag": STALE}], "Quiet": quiet}
        answer = s3.delete_objects(Bucket=bucket, Delete=delete)
        assert [entry["Code"] for entry in answer["Errors"]] == ["PreconditionFailed"]
        assert "Deleted" not in answer
    assert exists(s3, bucket, "source")


def test_bulk_delete_accepts_fresh_etags(s3: "S3Client", bucket: str, etag: str) -> None:
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "source", "ETag": etag}]})
    assert [entry["Key"] for entry in answer["Deleted"]] == ["source"]
    assert "Errors" not in answer
    assert not exists(s3, bucket, "source")


def test_delete_looks_at_the_object(s3: "S3Client", bucket: str, etag: str) -> None:
    delete = s3.delete_object
    assert refused(lambda: delete(Bucket=bucket, Key="source", IfMatch=STALE)) == (412, "PreconditionFailed")
    assert exists(s3, bucket, "source")
    delete(Bucket=bucket, Key="source", IfMatch=etag)
    assert not exists(s3, bucket, "source")
    assert refused(lambda: delete(Bucket=bucket, Key="source", IfMatch=etag)) == (404, "NoSuchKey")


def test_a_folder_whose_objects_are_deleted_is_not_listed(s3: "S3Client", bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for key in ("kept/a", "emptied/b"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    s3.delete_object(Bucket=bucket, Key="emptied/b")

    folders = s3.list_objects_v2(Bucket=bucket, Delimiter="/")["CommonPrefixes"]

    assert [folder["Prefix"] for folder in folders] == ["kept/"]


def test_put_looks_at_the_object(s3: "S3Client", bucket: str, etag: str) -> None:
    put = s3.put_object
    assert refused(lambda: put(Bucket=bucket, Key="source", Body=b"y", IfNoneMatch="*")) == (412, "PreconditionFailed")
    assert refused(lambda: put(Bucket=bucket, Key="source", Body=b"y", IfMatch=STALE)) == (412, "PreconditionFailed")
    assert refused(lambda: put(Bucket=bucket, Key="absent", Body=b"y", IfMatch=etag)) == (404, "NoSuchKey")
    assert s3.get_object(Bucket=bucket, Key="source")["Body"].read() == b"0123456789"
    put(Bucket=bucket, Key="new", Body=b"y", IfNoneMatch="*")
    put(Bucket=bucket, Key="source", Body=b"y", IfMatch=etag)
    assert s3.get_object(Bucket=bucket, Key="source")["Body"].read() == b"y"


def test_get_and_head_look_at_the_object(s3: "S3Client", bucket: str, etag: str) -> None:
    assert refused(lambda: s3.get_object(Bucket=bucket, Key="source", IfMatch=STALE)) == (412, "PreconditionFailed")
    assert refused(lambda: s3.head_object(Bucket=bucket, Key="source", IfMatch=STALE))[0] == 412
    assert refused(lambda: s3.get_object(Bucket=bucket, Key="source", IfNoneMatch=etag))[0] == 304
    assert s3.get_object(Bucket=bucket, Key="source", IfMatch=etag)["Body"].read() == b"0123456789"


def test_a_completed_upload_looks_at_the_object(s3: "S3Client", bucket: str, etag: str) -> None:
    def complete(key: str, **condition: Any) -> Any:
        upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        part = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"uploaded")["ETag"]
        return s3.complete_multipart_upload(
            Bucket=bucket,
            Key=key,
            UploadId=upload,
            MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]},
            **condition,
        )

    assert refused(lambda: complete("source", IfNoneMatch="*")) == (412, "PreconditionFailed")
    assert refused(lambda: complete("source", IfMatch=STALE)) == (412, "PreconditionFailed")
    assert refused(lambda: complete("absent", IfMatch=etag)) == (404, "NoSuchKey")
    complete("new", IfNoneMatch="*")
    complete("source", IfMatch=etag)
    assert s3.get_object(Bucket=bucket, Key="source")["Body"].read() == b"uploaded"


@pytest.fixture(scope="module")
def clients(endpoint: AwsEndpoint) -> list["S3Client"]:
    # A retried winner would look like a loser.
    return [endpoint.client("s3", config=Config(retries={"total_max_attempts": 1})) for _ in range(8)]


def winners(calls: list[Callable[[], Any]]) -> list[int]:
    """The numbers of the calls that succeed, all made at once; the others must be refused as conditions are."""

    def succeeds(call: Callable[[], Any]) -> bool:
        try:
            call()
        except ClientError as error:
            assert error.response["Error"]["Code"] in ("PreconditionFailed", "NoSuchKey")  # noqa: PT017
            return False
        return True

    with ThreadPoolExecutor(len(calls)) as pool:
        return [number for number, won in enumerate(pool.map(succeeds, calls)) if won]


@pytest.mark.parametrize("round_", range(3))
def test_of_many_creations_at_once_one_wins(clients: list["S3Client"], bucket: str, round_: int) -> None:
    size = 6_000_000  # moto writes such bodies to disk between check and act: time for others to come between

    def put(number: int) -> Callable[[], Any]:
        body = str(number).encode() * size
        return lambda: clients[number].put_object(Bucket=bucket, Key="record", Body=body, IfNoneMatch="*")

    won = winners([put(number) for number in range(len(clients))])
    assert len(won) == 1
    assert clients[0].get_object(Bucket=bucket, Key="record")["Body"].read() == str(won[0]).encode() * size


@pytest.mark.parametrize("round_", range(3))
def test_of_a_replacement_and_deletions_at_once_one_wins(
    clients: list["S3Client"], bucket: str, etag: str, round_: int
) -> None:
    def delete(client: "S3Client") -> Callable[[], Any]:
        return lambda: client.delete_object(Bucket=bucket, Key="source", IfMatch=etag)

    def replace(client: "S3Client") -> Callable[[], Any]:
        return lambda: client.put_object(Bucket=bucket, Key="source", Body=b"new" * 2_000_000, IfMatch=etag)

    calls = [replace(client) if number % 2 else delete(client) for number, client in enumerate(clients)]
    won = winners(calls)
    assert len(won) == 1
    assert exists(clients[0], bucket, "source") == bool(won[0] % 2)


def test_readers_see_whole_objects_while_they_are_replaced(clients: list["S3Client"], bucket: str) -> None:
    bodies = {bytes([letter]) * 300_000 for letter in b"abcdef"}
    clients[0].put_object(Bucket=bucket, Key="changing", Body=b"a" * 300_000)

    def write(body: bytes) -> None:
        clients[body[0] % 2].put_object(Bucket=bucket, Key="changing", Body=body)

    def read(number: int) -> None:
        found = clients[2 + number % 6].get_object(Bucket=bucket, Key="changing")
        body = found["Body"].read()
        assert body in bodies
        assert found["ContentLength"] == 300_000

    with ThreadPoolExecutor(6) as pool:
        futures = [pool.submit(write, body) for body in sorted(bodies) * 3]
        futures += [pool.submit(read, number) for number in range(36)]
        for future in futures:
            future.result()
