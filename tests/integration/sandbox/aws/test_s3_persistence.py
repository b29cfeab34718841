"""What S3 has acknowledged is there after a crash."""

import http.client
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from sandbox.aws.endpoint import AwsEndpoint
from tests.integration.sandbox.aws.conftest import eventually

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

MEBIBYTE = 1024 * 1024

ODD_KEYS = [
    "with blanks and  two",
    "100%",
    "a%20b",
    "a+b",
    "percent%2Fslash/x",
    "Ünïcödé/音楽/🎵.csv",
    "folder/",
    "folder//double",
    "/leading",
    "dots/../up",
    "dots/./here",
    "question?mark#hash&amp=1;semi",
    "quotes'\"<xml>",
    "[glob]*{a,b}",
    "tab\there",
    "back\\slash",
    "a",
    "a/b",
    ".json",
    "bucket.json",
    "l" * 1024,
    "ü" * 512,
]


class Restartable:
    """An endpoint that can crash and come back on the same folder."""

    def __init__(self, home: Path) -> None:
        self.endpoint = AwsEndpoint(home)
        self.start()

    def start(self) -> None:
        self.endpoint.start()
        self.s3: S3Client = self.endpoint.client("s3")

    def crash(self) -> "S3Client":
        """Kills the server without warning and starts another; a client of that one."""
        self.endpoint.kill()
        self.start()
        return self.s3


@pytest.fixture(scope="module")
def endpoint_of_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restartable]:
    """One for all tests, since a start takes seconds."""
    server = Restartable(tmp_path_factory.mktemp("aws"))
    yield server
    server.endpoint.stop()


@pytest.fixture
def server(endpoint_of_module: Restartable) -> Iterator[Restartable]:
    """The endpoint with an empty bucket, its only one."""
    endpoint_of_module.s3.create_bucket(Bucket="lake")
    yield endpoint_of_module
    remove_buckets(endpoint_of_module.s3)


def remove_buckets(s3: "S3Client") -> None:
    for bucket in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
        while versions := some_versions(s3, bucket):
            s3.delete_objects(Bucket=bucket, Delete={"Objects": versions})
        s3.delete_bucket(Bucket=bucket)


def some_versions(s3: "S3Client", bucket: str) -> Any:
    found = s3.list_object_versions(Bucket=bucket)
    versions = [*found.get("Versions", []), *found.get("DeleteMarkers", [])]
    return [{"Key": version["Key"], "VersionId": version["VersionId"]} for version in versions]


def keys(s3: "S3Client", prefix: str = "") -> list[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="lake", Prefix=prefix)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def test_an_object_survives_a_crash_with_all_that_belongs_to_it(server: Restartable) -> None:
    put = server.s3.put_object(
        Bucket="lake",
        Key="a.csv",
        Body=b"x,y\n1,2\n",
        ContentType="text/csv",
        CacheControl="no-cache",
        ContentEncoding="identity",
        Metadata={"origin": "label 7", "Mixed_Case": "ok"},
        Tagging="team=data&tier=gold",
    )
    before = server.s3.get_object(Bucket="lake", Key="a.csv")

    s3 = server.crash()

    after = s3.get_object(Bucket="lake", Key="a.csv")
    assert after["Body"].read() == b"x,y\n1,2\n"
    assert after["ETag"] == put["ETag"]
    for attribute in ("ContentType", "CacheControl", "ContentEncoding", "Metadata", "LastModified", "ContentLength"):
        assert after[attribute] == before[attribute]
    tags = s3.get_object_tagging(Bucket="lake", Key="a.csv")["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "data", "tier": "gold"}


def test_the_latest_of_many_versions_survives_and_the_others_leave_no_file(server: Restartable) -> None:
    for number in range(5):
        server.s3.put_object(Bucket="lake", Key="a", Body=str(number).encode())
    s3 = server.crash()
    assert s3.get_object(Bucket="lake", Key="a")["Body"].read() == b"4"
    assert len(list((server.endpoint.home / "s3" / "lake" / "objects").iterdir())) == 2


def test_deleted_objects_stay_deleted(server: Restartable) -> None:
    for key in ("one", "two", "three", "stays"):
        server.s3.put_object(Bucket="lake", Key=key, Body=b"x")
    server.s3.delete_object(Bucket="lake", Key="one")
    server.s3.delete_objects(Bucket="lake", Delete={"Objects": [{"Key": "two"}, {"Key": "three"}]})
    assert keys(server.crash()) == ["stays"]


def test_a_copy_survives_with_its_own_metadata(server: Restartable) -> None:
    server.s3.put_object(Bucket="lake", Key="from", Body=b"x", Metadata={"a": "1"})
    server.s3.copy_object(Bucket="lake", Key="kept", CopySource={"Bucket": "lake", "Key": "from"})
    server.s3.copy_object(
        Bucket="lake",
        Key="replaced",
        CopySource={"Bucket": "lake", "Key": "from"},
        Metadata={"b": "2"},
        MetadataDirective="REPLACE",
    )
    s3 = server.crash()
    assert s3.head_object(Bucket="lake", Key="kept")["Metadata"] == {"a": "1"}
    assert s3.head_object(Bucket="lake", Key="replaced")["Metadata"] == {"b": "2"}


def test_a_multipart_object_survives_with_its_etag(server: Restartable) -> None:
    parts = [os.urandom(5 * MEBIBYTE), os.urandom(5 * MEBIBYTE), b"the end"]
    s3 = server.s3
    upload = s3.create_multipart_upload(Bucket="lake", Key="big", ContentType="text/csv")["UploadId"]
    etags = [
        s3.upload_part(Bucket="lake", Key="big", UploadId=upload, PartNumber=number, Body=part)["ETag"]
        for number, part in enumerate(parts, 1)
    ]
    listed: list[CompletedPartTypeDef] = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
    completed = s3.complete_multipart_upload(
        Bucket="lake",
        Key="big",
        UploadId=upload,
        MultipartUpload={"Parts": listed},
    )
    assert completed["ETag"].endswith('-3"')

    s3 = server.crash()

    found = s3.get_object(Bucket="lake", Key="big")
    assert (found["ETag"], found["ContentType"]) == (completed["ETag"], "text/csv")
    assert found["Body"].read() == b"".join(parts)
    part = s3.get_object(Bucket="lake", Key="big", Range="bytes=5242878-5242881")["Body"].read()
    assert part == b"".join(parts)[5242878:5242882]


def test_a_crash_ends_uploads_that_were_not_completed(server: Restartable) -> None:
    upload = server.s3.create_multipart_upload(Bucket="lake", Key="big")["UploadId"]
    s3 = server.crash()
    with pytest.raises(s3.exceptions.NoSuchUpload):
        s3.upload_part(Bucket="lake", Key="big", UploadId=upload, PartNumber=1, Body=b"x")
    assert keys(s3) == []


def test_keys_of_any_spelling_survive(server: Restartable) -> None:
    for key in ODD_KEYS:
        server.s3.put_object(Bucket="lake", Key=key, Body=key.encode())
    s3 = server.crash()
    assert sorted(keys(s3)) == sorted(ODD_KEYS)
    for key in ODD_KEYS:
        assert s3.get_object(Bucket="lake", Key=key)["Body"].read() == key.encode()
        s3.copy_object(Bucket="lake", Key=f"copy/{key}"[:1024], CopySource={"Bucket": "lake", "Key": key})
    s3.delete_objects(Bucket="lake", Delete={"Objects": [{"Key": key} for key in ODD_KEYS]})
    assert {key for key in keys(server.crash()) if not key.startswith("copy/")} == set()


def test_more_than_a_thousand_keys_are_listed_page_by_page(server: Restartable) -> None:
    expected = [f"many/{number:05}" for number in range(1203)]
    s3 = server.s3
    for key in expected:
        s3.put_object(Bucket="lake", Key=key, Body=b"")
    s3 = server.crash()
    assert len(s3.list_objects_v2(Bucket="lake", Prefix="many/")["Contents"]) == 1000
    assert keys(s3, "many/") == expected


def test_versions_and_delete_markers_survive(server: Restartable) -> None:
    s3 = server.s3
    s3.put_bucket_versioning(Bucket="lake", VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket="lake", Key="a", Body=b"first")["VersionId"]
    second = s3.put_object(Bucket="lake", Key="a", Body=b"second")["VersionId"]
    s3.delete_object(Bucket="lake", Key="a")

    s3 = server.crash()

    assert keys(s3) == []
    assert s3.get_object(Bucket="lake", Key="a", VersionId=first)["Body"].read() == b"first"
    marker = s3.list_object_versions(Bucket="lake", Prefix="a")["DeleteMarkers"][0]["VersionId"]
    s3.delete_object(Bucket="lake", Key="a", VersionId=marker)
    s3.delete_object(Bucket="lake", Key="a", VersionId=second)
    s3 = server.crash()
    assert s3.get_object(Bucket="lake", Key="a")["Body"].read() == b"first"
    assert s3.get_bucket_versioning(Bucket="lake")["Status"] == "Enabled"


def test_a_bucket_that_was_deleted_does_not_come_back(server: Restartable) -> None:
    server.s3.create_bucket(Bucket="gone")
    server.s3.put_object(Bucket="gone", Key="a", Body=b"x")
    server.s3.delete_object(Bucket="gone", Key="a")
    server.s3.delete_bucket(Bucket="gone")
    s3 = server.crash()
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["lake"]
    s3.create_bucket(Bucket="gone")
    assert "Contents" not in s3.list_objects_v2(Bucket="gone")


def test_the_account_can_be_provisioned_anew_around_a_bucket_that_persisted(server: Restartable) -> None:
    server.s3.put_object(Bucket="lake", Key="a", Body=b"x")
    s3 = server.crash()
    server.endpoint.client("cloudformation").create_stack(
        StackName="music",
        TemplateBody='{"Resources": {"Lake": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "lake"}}}}',
    )
    assert s3.get_object(Bucket="lake", Key="a")["Body"].read() == b"x"


def test_a_file_that_a_crash_left_half_written_is_removed(server: Restartable) -> None:
    server.s3.put_object(Bucket="lake", Key="a", Body=b"x")
    objects = server.endpoint.home / "s3" / "lake" / "objects"
    (objects / "0123.abcd").write_bytes(b"value of no record")
    (objects / "0123.json.abcd.tmp").write_bytes(b'{"key": "cut of')
    assert keys(server.crash()) == ["a"]
    assert len(list(objects.iterdir())) == 2


def test_an_upload_that_breaks_off_stores_nothing(server: Restartable) -> None:
    host = urlsplit(server.endpoint.url).netloc
    connection = http.client.HTTPConnection(host)
    connection.putrequest("PUT", "/lake/broken")
    connection.putheader("Content-Length", "1000")
    connection.putheader("Authorization", "AWS4-HMAC-SHA256 Credential=AKIA/20240101/us-east-1/s3/aws4_request, x")
    connection.endheaders(b"only the beginning")
    connection.close()
    server.s3.put_object(Bucket="lake", Key="after", Body=b"x")
    assert eventually(lambda: keys(server.s3)) == ["after"]


def test_restored_objects_answer_conditions_as_before(server: Restartable) -> None:
    etag = server.s3.put_object(Bucket="lake", Key="a", Body=b"x")["ETag"]
    s3 = server.crash()
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket="lake", Key="a", Body=b"y", IfNoneMatch="*")
    s3.copy_object(Bucket="lake", Key="b", CopySource={"Bucket": "lake", "Key": "a"}, CopySourceIfMatch=etag)
    s3.delete_object(Bucket="lake", Key="a", IfMatch=etag)
    assert keys(s3) == ["b"]


def test_times_of_objects_are_those_of_their_writing(server: Restartable) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    server.s3.put_object(Bucket="lake", Key="a", Body=b"x")
    after = datetime.now(UTC)
    modified = server.crash().head_object(Bucket="lake", Key="a")["LastModified"]
    assert before <= modified <= after
