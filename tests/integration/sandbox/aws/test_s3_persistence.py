"""What S3 has acknowledged is there after a crash.

A start takes seconds, so all stories run up to their crash on one endpoint, which is killed once for all of them.
"""

import http.client
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from sandbox.aws.endpoint import AwsEndpoint
from sandbox.aws.object_store import ObjectStore
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


class Lake:
    """A bucket of an endpoint that can crash and come back on the same folder."""

    def __init__(self, endpoint: AwsEndpoint, bucket: str) -> None:
        self.endpoint = endpoint
        self.bucket = bucket
        self.s3.create_bucket(Bucket=bucket)

    @property
    def s3(self) -> "S3Client":
        """A client of the endpoint as it runs now."""
        client: S3Client = self.endpoint.client("s3")
        return client

    @property
    def objects(self) -> Path:
        """The folder in which the endpoint keeps the bucket's objects."""
        return self.endpoint.home / "s3" / self.bucket / "objects"

    def all_keys(self) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def put(self, key: str, body: bytes, **attributes: Any) -> str:
        """Write an object; returns its ETag."""
        return self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, **attributes)["ETag"]

    def body(self, key: str) -> bytes:
        return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()


Story = Callable[[Lake], Iterator[None]]
STORIES: dict[str, Story] = {}
"""What happens to a bucket, by a sentence; wherever a story yields, the endpoint is killed and started again."""


def story(steps: Story) -> Story:
    """Add a story, whose name says what holds after a crash."""
    STORIES[steps.__name__] = steps
    return steps


@story
def an_object_survives_with_all_that_belongs_to_it(lake: Lake) -> Iterator[None]:
    etag = lake.put(
        "a.csv",
        b"x,y\n1,2\n",
        ContentType="text/csv",
        CacheControl="no-cache",
        ContentEncoding="identity",
        Metadata={"origin": "label 7", "Mixed_Case": "ok"},
        Tagging="team=data&tier=gold",
    )
    before = lake.s3.get_object(Bucket=lake.bucket, Key="a.csv")

    yield

    after = lake.s3.get_object(Bucket=lake.bucket, Key="a.csv")
    assert after["Body"].read() == b"x,y\n1,2\n"
    assert after["ETag"] == etag
    for attribute in ("ContentType", "CacheControl", "ContentEncoding", "Metadata", "LastModified", "ContentLength"):
        assert after[attribute] == before[attribute]
    tags = lake.s3.get_object_tagging(Bucket=lake.bucket, Key="a.csv")["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "data", "tier": "gold"}


@story
def the_latest_of_many_versions_survives_and_the_others_leave_no_file(lake: Lake) -> Iterator[None]:
    for number in range(5):
        lake.put("a", str(number).encode())
    yield
    assert lake.body("a") == b"4"
    assert len(list(lake.objects.iterdir())) == 2


@story
def deleted_objects_stay_deleted(lake: Lake) -> Iterator[None]:
    for key in ("one", "two", "three", "stays"):
        lake.put(key, b"x")
    lake.s3.delete_object(Bucket=lake.bucket, Key="one")
    lake.s3.delete_objects(Bucket=lake.bucket, Delete={"Objects": [{"Key": "two"}, {"Key": "three"}]})
    yield
    assert lake.all_keys() == ["stays"]


@story
def a_copy_survives_with_its_own_metadata(lake: Lake) -> Iterator[None]:
    lake.put("from", b"x", Metadata={"a": "1"})
    lake.s3.copy_object(Bucket=lake.bucket, Key="kept", CopySource={"Bucket": lake.bucket, "Key": "from"})
    lake.s3.copy_object(
        Bucket=lake.bucket,
        Key="replaced",
        CopySource={"Bucket": lake.bucket, "Key": "from"},
        Metadata={"b": "2"},
        MetadataDirective="REPLACE",
    )
    yield
    assert lake.s3.head_object(Bucket=lake.bucket, Key="kept")["Metadata"] == {"a": "1"}
    assert lake.s3.head_object(Bucket=lake.bucket, Key="replaced")["Metadata"] == {"b": "2"}


@story
def a_multipart_object_survives_with_its_etag(lake: Lake) -> Iterator[None]:
    parts = [os.urandom(5 * MEBIBYTE), os.urandom(5 * MEBIBYTE), b"the end"]
    s3 = lake.s3
    big: Any = {"Bucket": lake.bucket, "Key": "big"}
    upload = s3.create_multipart_upload(**big, ContentType="text/csv")["UploadId"]
    etags = [
        s3.upload_part(**big, UploadId=upload, PartNumber=number, Body=part)["ETag"]
        for number, part in enumerate(parts, 1)
    ]
    listed: list[CompletedPartTypeDef] = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
    completed = s3.complete_multipart_upload(**big, UploadId=upload, MultipartUpload={"Parts": listed})
    assert completed["ETag"].endswith('-3"')

    yield

    found = lake.s3.get_object(**big)
    assert (found["ETag"], found["ContentType"]) == (completed["ETag"], "text/csv")
    assert found["Body"].read() == b"".join(parts)
    part = lake.s3.get_object(**big, Range="bytes=5242878-5242881")["Body"].read()
    assert part == b"".join(parts)[5242878:5242882]


@story
def uploads_that_were_not_completed_end(lake: Lake) -> Iterator[None]:
    upload = lake.s3.create_multipart_upload(Bucket=lake.bucket, Key="big")["UploadId"]
    yield
    s3 = lake.s3
    with pytest.raises(s3.exceptions.NoSuchUpload):
        s3.upload_part(Bucket=lake.bucket, Key="big", UploadId=upload, PartNumber=1, Body=b"x")
    assert lake.all_keys() == []


@story
def keys_of_any_spelling_survive(lake: Lake) -> Iterator[None]:
    for key in ODD_KEYS:
        lake.put(key, key.encode())

    yield

    assert sorted(lake.all_keys()) == sorted(ODD_KEYS)
    for key in ODD_KEYS:
        assert lake.body(key) == key.encode()
        copy = f"copy/{key}"[:1024]
        lake.s3.copy_object(Bucket=lake.bucket, Key=copy, CopySource={"Bucket": lake.bucket, "Key": key})
    lake.s3.delete_objects(Bucket=lake.bucket, Delete={"Objects": [{"Key": key} for key in ODD_KEYS]})

    yield

    assert {key for key in lake.all_keys() if not key.startswith("copy/")} == set()


@story
def more_than_a_thousand_keys_are_listed_page_by_page(lake: Lake) -> Iterator[None]:
    expected = [f"many/{number:05}" for number in range(1203)]
    lake.put(expected[0], b"")
    store = ObjectStore(lake.endpoint.home / "s3")
    ((_, (version,)),) = store.load(lake.bucket)
    for key in expected[1:]:  # by way of the server this would take half a minute
        value = store.write_value(lake.bucket, key, b"")
        store.save(lake.bucket, key, [replace(version, value_file=value.path.name)])
    yield
    assert len(lake.s3.list_objects_v2(Bucket=lake.bucket, Prefix="many/")["Contents"]) == 1000
    assert lake.all_keys() == expected


@story
def versions_and_delete_markers_survive(lake: Lake) -> Iterator[None]:
    s3 = lake.s3
    the_object: Any = {"Bucket": lake.bucket, "Key": "a"}
    s3.put_bucket_versioning(Bucket=lake.bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(**the_object, Body=b"first")["VersionId"]
    second = s3.put_object(**the_object, Body=b"second")["VersionId"]
    s3.delete_object(**the_object)

    yield

    s3 = lake.s3
    assert lake.all_keys() == []
    assert s3.get_object(**the_object, VersionId=first)["Body"].read() == b"first"
    marker = s3.list_object_versions(Bucket=lake.bucket, Prefix="a")["DeleteMarkers"][0]["VersionId"]
    s3.delete_object(**the_object, VersionId=marker)
    s3.delete_object(**the_object, VersionId=second)

    yield

    assert lake.body("a") == b"first"
    assert lake.s3.get_bucket_versioning(Bucket=lake.bucket)["Status"] == "Enabled"


@story
def a_bucket_that_was_deleted_does_not_come_back(lake: Lake) -> Iterator[None]:
    lake.s3.create_bucket(Bucket="gone")
    lake.s3.put_object(Bucket="gone", Key="a", Body=b"x")
    lake.s3.delete_object(Bucket="gone", Key="a")
    lake.s3.delete_bucket(Bucket="gone")
    yield
    assert "gone" not in [bucket["Name"] for bucket in lake.s3.list_buckets()["Buckets"]]
    lake.s3.create_bucket(Bucket="gone")
    assert "Contents" not in lake.s3.list_objects_v2(Bucket="gone")


@story
def the_account_can_be_provisioned_anew_around_a_bucket_that_persisted(lake: Lake) -> Iterator[None]:
    lake.put("a", b"x")
    yield
    bucket = f'{{"Type": "AWS::S3::Bucket", "Properties": {{"BucketName": "{lake.bucket}"}}}}'
    lake.endpoint.client("cloudformation").create_stack(
        StackName="music", TemplateBody=f'{{"Resources": {{"Lake": {bucket}}}}}'
    )
    assert lake.body("a") == b"x"


@story
def a_file_that_a_crash_left_half_written_is_removed(lake: Lake) -> Iterator[None]:
    lake.put("a", b"x")
    (lake.objects / "0123.abcd").write_bytes(b"value of no record")
    (lake.objects / "0123.json.abcd.tmp").write_bytes(b'{"key": "cut of')
    yield
    assert lake.all_keys() == ["a"]
    assert len(list(lake.objects.iterdir())) == 2


@story
def restored_objects_answer_conditions_as_before(lake: Lake) -> Iterator[None]:
    etag = lake.put("a", b"x")
    yield
    with pytest.raises(ClientError, match="PreconditionFailed"):
        lake.put("a", b"y", IfNoneMatch="*")
    source: Any = {"Bucket": lake.bucket, "Key": "a"}
    lake.s3.copy_object(Bucket=lake.bucket, Key="b", CopySource=source, CopySourceIfMatch=etag)
    lake.s3.delete_object(**source, IfMatch=etag)
    assert lake.all_keys() == ["b"]


@story
def times_of_objects_are_those_of_their_writing(lake: Lake) -> Iterator[None]:
    before = datetime.now(UTC).replace(microsecond=0)
    lake.put("a", b"x")
    after = datetime.now(UTC)
    yield
    modified = lake.s3.head_object(Bucket=lake.bucket, Key="a")["LastModified"]
    assert before <= modified <= after


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsEndpoint]:
    with AwsEndpoint(tmp_path_factory.mktemp("aws")) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def after_the_crash(server: AwsEndpoint) -> dict[str, Iterator[None]]:
    """The stories after their crash."""
    begun = {name: steps(Lake(server, f"lake-{number}")) for number, (name, steps) in enumerate(STORIES.items())}
    for rest in begun.values():
        next(rest)
    crash(server)
    return begun


def crash(server: AwsEndpoint) -> None:
    server.kill()
    server.start()


@pytest.mark.parametrize("name", STORIES)
def test_after_a_crash(server: AwsEndpoint, after_the_crash: dict[str, Iterator[None]], name: str) -> None:
    for _ in after_the_crash[name]:
        crash(server)


def test_an_upload_that_breaks_off_stores_nothing(server: AwsEndpoint) -> None:
    lake = Lake(server, "broken-off")
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc)
    connection.putrequest("PUT", f"/{lake.bucket}/broken")
    connection.putheader("Content-Length", "1000")
    connection.putheader("Authorization", "AWS4-HMAC-SHA256 Credential=AKIA/20240101/us-east-1/s3/aws4_request, x")
    connection.endheaders(b"only the beginning")
    connection.close()
    lake.put("after", b"x")
    assert eventually(lake.all_keys) == ["after"]
