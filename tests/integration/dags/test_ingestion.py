"""Taking in a batch: real files, real expectations, real S3 conditions."""

import gzip
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from music_streams.batches import DateRange
from music_streams.ingestion import DatasetsRefusedError, OnInvalidStreamFile, ingest_batch, refusal
from urllib3 import HTTPResponse

from contract import layout
from contract.bucket import Bucket
from tests.integration.dags.conftest import Lake

BATCH = "20240626T000000Z-1a2b3c4d"
EARLIER = "20240625T000000Z-0f0f0f0f"
FOLDER = layout.BatchFolder(BATCH)
STREAMS = "music_streams/user_streams"

SONGS = "id,track_id,artists,track_name,duration_ms,track_genre\n0,t1,Ann;Bob,One,1000,pop\n1,t2,Cy,Two,2000,jazz\n"
USERS = "user_id,user_name,user_age,user_country,created_at\nu1,Di,30,DE,2024-01-01\nu2,Ed,40,FR,2024-01-02\n"
GOOD = "user_id,track_id,listen_time\nu1,t1,2024-06-25 17:43:13\n"
BAD = "user_id,track_id\nu1,t1\n"


@pytest.fixture
def landing(lake: Lake) -> Lake:
    """A lake in which both reference tables have landed."""
    lake.put(layout.SONGS, SONGS)
    lake.put(layout.USERS, USERS)
    return lake


def ingest(lake: Lake, policy: OnInvalidStreamFile = "fail", recompute: DateRange | None = None) -> dict[str, Any]:
    return ingest_batch(Bucket(lake.bucket, lake.s3), BATCH, on_invalid_stream_file=policy, recompute=recompute)


def commit(lake: Lake, batch: str, **record: Any) -> None:
    Bucket(lake.bucket, lake.s3).write_json(
        layout.BatchFolder(batch).curation_record, {"files": [], "covers": [], **record}
    )


def quarantined(landing: Lake) -> list[bytes]:
    keys = landing.keys(FOLDER.quarantined_files)
    return [landing.get(key) for key in keys if not key.endswith(".reason.json")]


def nothing_to_do(quarantined: int = 0) -> dict[str, Any]:
    return {
        "outcome": "nothing_to_do",
        "batch_id": BATCH,
        "stream_files": 0,
        "quarantined_files": quarantined,
        "left": [],
    }


def computes(stream_files: int, quarantined: int = 0) -> dict[str, Any]:
    return {
        "outcome": "compute",
        "batch_id": BATCH,
        "stream_files": stream_files,
        "quarantined_files": quarantined,
        "left": [],
    }


def test_on_a_fresh_bucket_there_is_nothing_to_do(lake: Lake) -> None:
    assert ingest(lake) == nothing_to_do()
    assert lake.keys() == []


@pytest.mark.parametrize("songs", [None, b"", b"\xff\xfe\x00", b"no,such,columns\n"])
def test_without_streams_the_state_of_the_reference_tables_is_nobodys_business(lake: Lake, songs: bytes | None) -> None:
    if songs is not None:
        lake.put(layout.SONGS, songs)
    before = lake.keys()

    assert ingest(lake) == nothing_to_do()
    assert lake.keys() == before


def test_a_valid_batch_is_pinned_promoted_and_vouched_for(landing: Lake) -> None:
    etag = landing.put(
        f"{STREAMS}/two words.csv", "\ufefflisten_time, user_id,track_id,extra\r\n2024-06-25 17:43:13,u1,t1,\r\n"
    )

    assert ingest(landing) == computes(1)

    manifest = landing.record(FOLDER.manifest)
    assert set(manifest) == {"batch_id", "time", "files", "recompute"}
    assert manifest["batch_id"] == BATCH
    assert manifest["time"].endswith("+00:00")
    assert manifest["recompute"] is None
    (file,) = manifest["files"]
    copy = file.pop("copy")
    assert landing.get(copy) == landing.get(f"{STREAMS}/two words.csv")
    assert file == {
        "key": f"{STREAMS}/two words.csv",
        "etag": etag,
        "size": 68,
        "header": "\ufefflisten_time, user_id,track_id,extra",
        "columns": ["listen_time", "user_id", "track_id", "extra"],
        "line_per_record": True,
        "rows": 1,
        "compression": None,
    }
    assert landing.get(layout.REFERENCE_SONGS) == SONGS.encode()
    assert landing.get(layout.REFERENCE_USERS) == USERS.encode()
    assert refusal(Bucket(landing.bucket, landing.s3), BATCH) is None
    documents = landing.keys(FOLDER.validation)
    assert f"{FOLDER.validation}/results.json" in documents
    assert f"{FOLDER.validation}/index.html" in documents
    assert f"{FOLDER.validation}/data_docs/index.html" in documents
    page = landing.producer.head_object(Bucket=landing.bucket, Key=f"{FOLDER.validation}/index.html")
    assert page["ContentType"].startswith("text/html"), "a browser shows it"


def test_a_refused_batch_names_file_and_values_and_takes_nothing_in(landing: Lake) -> None:
    landing.put(f"{STREAMS}/good.csv", GOOD)
    landing.put(f"{STREAMS}/bad.csv", BAD)

    with pytest.raises(DatasetsRefusedError) as refused:
        ingest(landing)

    message = str(refused.value)
    assert "user_streams/bad.csv" in message
    assert "listen_time" in message
    assert landing.keys(layout.REFERENCE) == []
    assert FOLDER.manifest not in landing.keys(FOLDER.root)
    assert landing.keys(STREAMS) == [f"{STREAMS}/bad.csv", f"{STREAMS}/good.csv"]


def test_empty_and_undecodable_stream_files_are_refused(landing: Lake) -> None:
    contents = {"nothing.csv": b"", "blank lines.csv": b"\n\n", "utf-16.csv": b"\xff\xfeu\x00", "commas.csv": b",,\n"}
    for name, content in contents.items():
        landing.put(f"{STREAMS}/{name}", content)

    with pytest.raises(DatasetsRefusedError) as refused:
        ingest(landing)

    errors = [line for line in str(refused.value).splitlines() if line.startswith("ERROR")]
    assert [sum(f"user_streams/{name} " in error for error in errors) for name in contents] == [1, 1, 1, 1]


def test_files_are_taken_in_from_folders_compressed_and_without_rows(landing: Lake) -> None:
    landing.put(f"{STREAMS}/2024/06/a.CSV.GZ", gzip.compress(GOOD.encode()))
    landing.put(f"{STREAMS}/2024/07/a.csv", GOOD.partition("\n")[0])

    assert ingest(landing) == computes(2)

    files = landing.record(FOLDER.manifest)["files"]
    assert [(file["key"], file["rows"], file["compression"]) for file in files] == [
        (f"{STREAMS}/2024/06/a.CSV.GZ", 1, "gzip"),
        (f"{STREAMS}/2024/07/a.csv", 0, None),
    ]
    assert [file["copy"].rpartition("/")[2][6:] for file in files] == [
        f"{file['copy'].rpartition('/')[2][6:14]}-a{ending}"
        for file, ending in zip(files, (".csv.gz", ".csv"), strict=True)
    ]


def test_what_is_no_file_of_ours_is_reported_and_stays(landing: Lake) -> None:
    landing.put(f"{STREAMS}/good.csv", GOOD)
    left = [f"{layout.ROOT}/songs.csv.old", f"{STREAMS}/june/notes.txt"]
    for key in left:
        landing.put(key, "x")

    assert ingest(landing) == {**computes(1), "left": left}

    summary = landing.record(f"{FOLDER.validation}/summary.json")
    assert [ignored["key"] for ignored in summary["ignored"]] == left
    assert f"left    {left[1]} does not end in .csv or .csv.gz: it stays" in summary["message"]
    assert landing.get(left[0]) == landing.get(left[1]) == b"x"


def test_bad_rows_are_left_to_curation(landing: Lake) -> None:
    landing.put(f"{STREAMS}/a.csv", GOOD + ",,yesterday\nu1,t1\n")
    assert ingest(landing) == computes(1)


@pytest.mark.parametrize("policy", ["fail", "quarantine"])
@pytest.mark.parametrize(
    ("songs", "users"),
    [
        (None, USERS.replace("u2", "u1")),
        (SONGS.replace("track_id", "track"), None),
        (SONGS.replace("t2", ""), USERS),
    ],
)
def test_faulty_reference_tables_fail_whatever_the_policy(
    landing: Lake, songs: str | None, users: str | None, policy: OnInvalidStreamFile
) -> None:
    landing.put(f"{STREAMS}/good.csv", GOOD)
    landing.put(f"{STREAMS}/bad.csv", BAD)
    for key, content in ((layout.SONGS, songs), (layout.USERS, users)):
        landing.remove(key)
        if content is not None:
            landing.put(key, content)

    with pytest.raises(DatasetsRefusedError) as refused:
        ingest(landing, policy)

    errors = [line for line in str(refused.value).splitlines() if line.startswith("ERROR")]
    at_fault = {name for name in ("songs.csv", "users.csv") if any(f" {name}" in error for error in errors)}
    assert at_fault == {"songs.csv"} | ({"users.csv"} if users != USERS else set())
    assert landing.keys(layout.QUARANTINED_FILES) == []
    assert landing.keys(STREAMS) == [f"{STREAMS}/bad.csv", f"{STREAMS}/good.csv"]


def test_after_the_cause_is_corrected_the_same_run_takes_in_what_lies_there_then(landing: Lake) -> None:
    landing.put(f"{STREAMS}/a.csv", BAD)
    with pytest.raises(DatasetsRefusedError):
        ingest(landing)
    corrected = landing.put(f"{STREAMS}/a.csv", GOOD)

    assert ingest(landing) == computes(1)
    assert landing.record(FOLDER.manifest)["files"][0]["etag"] == corrected
    assert refusal(Bucket(landing.bucket, landing.s3), BATCH) is None


def test_an_old_refusal_is_not_reported_for_a_later_attempt_that_broke_off(landing: Lake) -> None:
    landing.put(f"{STREAMS}/a.csv", BAD)
    with pytest.raises(DatasetsRefusedError):
        ingest(landing)
    landing.put(f"{STREAMS}/a.csv", GOOD)

    def break_off(_: dict[str, Any]) -> None:
        raise ConnectionError("no route to S3")

    landing.before("CopyObject", break_off)
    with pytest.raises(ConnectionError):
        ingest(landing)

    assert refusal(Bucket(landing.bucket, landing.producer), BATCH) is None


def test_bad_files_move_to_quarantine_with_the_reason_and_the_rest_goes_on(landing: Lake) -> None:
    landing.put(f"{STREAMS}/good.csv", GOOD)
    landing.put(f"{STREAMS}/bad file.csv", BAD)
    landing.put(f"{STREAMS}/empty.csv", "")

    assert ingest(landing, "quarantine") == computes(1, quarantined=2)

    assert [file["key"] for file in landing.record(FOLDER.manifest)["files"]] == [f"{STREAMS}/good.csv"]
    assert landing.keys(STREAMS) == [f"{STREAMS}/good.csv"]
    bad, bad_reason, *empty = landing.keys(FOLDER.quarantined_files)
    assert len(empty) == 2
    assert landing.get(bad) == BAD.encode()
    assert bad_reason == f"{bad}.reason.json"
    reason = landing.record(bad_reason)
    assert reason["file"] == f"{STREAMS}/bad file.csv"
    assert any("listen_time" in entry["message"] for entry in reason["reasons"])


def lock_away(lake: Lake, key: str, content: str) -> str:
    """Land something that must be restored before it can be copied."""
    answer = lake.producer.put_object(Bucket=lake.bucket, Key=key, Body=content.encode(), StorageClass="GLACIER")
    return str(answer["ETag"])


RESTORE = (
    "cannot be copied: its storage class must be restored first (aws s3api restore-object); restore it, or delete it "
    "(aws s3 rm), and run again"
)


def test_files_that_cannot_be_copied_are_all_named_beside_whatever_else_is_wrong(landing: Lake) -> None:
    for name in ("a.csv", "b.csv"):
        lock_away(landing, f"{STREAMS}/{name}", GOOD)
    landing.put(f"{STREAMS}/bad.csv", BAD)

    with pytest.raises(DatasetsRefusedError) as refused:
        ingest(landing)

    lines = str(refused.value).splitlines()
    assert f"ERROR   user_streams/a.csv {RESTORE}" in lines
    assert f"ERROR   user_streams/b.csv {RESTORE}" in lines
    assert any("user_streams/bad.csv: column 'listen_time' is missing" in line for line in lines)


def test_quarantine_passes_over_what_cannot_be_copied_and_the_rest_goes_on(landing: Lake) -> None:
    lock_away(landing, f"{STREAMS}/locked.csv", GOOD)
    landing.put(f"{STREAMS}/bad.csv", BAD)
    landing.put(f"{STREAMS}/good.csv", GOOD)

    assert ingest(landing, "quarantine") == computes(1, quarantined=1)

    assert landing.keys(STREAMS) == [f"{STREAMS}/good.csv", f"{STREAMS}/locked.csv"]
    assert quarantined(landing) == [BAD.encode()]
    summary = landing.record(f"{FOLDER.validation}/summary.json")
    assert f"refused user_streams/locked.csv {RESTORE}" in summary["message"].splitlines()


@pytest.mark.parametrize("policy", ["fail", "quarantine"])
def test_a_reference_table_that_cannot_be_copied_fails_whatever_the_policy(
    landing: Lake, policy: OnInvalidStreamFile
) -> None:
    lock_away(landing, layout.SONGS, SONGS)
    landing.put(f"{STREAMS}/good.csv", GOOD)

    with pytest.raises(DatasetsRefusedError, match=r"1 error in 1 file.*\nERROR   songs\.csv cannot be copied"):
        ingest(landing, policy)


def test_an_object_with_a_foreign_key_is_passed_over(landing: Lake) -> None:
    """S3 answers a copy of it with 403, as it does where a role may not use the key."""
    landing.put(f"{STREAMS}/foreign.csv", GOOD)
    landing.put(f"{STREAMS}/good.csv", GOOD)

    def deny(request: Any, **_: object) -> Any:
        foreign = b"foreign.csv" in request.headers.get("x-amz-copy-source", b"")
        body = b"<Error><Code>AccessDenied</Code><Message>kms:Decrypt is not allowed</Message></Error>"
        return (
            AWSResponse(request.url, 403, HTTPHeaders(), HTTPResponse(BytesIO(body), preload_content=False))
            if foreign
            else None
        )

    landing.s3.meta.events.register("before-send.s3.CopyObject", deny)

    assert ingest(landing, "quarantine") == computes(1)

    (refused,) = [file for file in landing.record(f"{FOLDER.validation}/summary.json")["files"] if not file["passed"]]
    (problem,) = refused["problems"]
    assert problem["message"].startswith("user_streams/foreign.csv cannot be copied: ")
    assert "Let the role of this task have the object and the key that encrypts it" in problem["message"]
    assert landing.get(f"{STREAMS}/foreign.csv") == GOOD.encode()


def test_when_all_files_are_quarantined_nothing_is_left_to_do(landing: Lake) -> None:
    landing.put(f"{STREAMS}/bad.csv", BAD)

    assert ingest(landing, "quarantine") == nothing_to_do(quarantined=1)
    assert FOLDER.manifest not in landing.keys(FOLDER.root)
    assert ingest(landing, "quarantine") == nothing_to_do()


def test_when_all_files_are_quarantined_pending_dates_are_computed_still(landing: Lake) -> None:
    commit(landing, EARLIER)
    landing.put(f"{STREAMS}/bad.csv", BAD)
    assert ingest(landing, "quarantine") == computes(0, quarantined=1)


def test_a_bad_file_that_was_replaced_meanwhile_stays_for_the_next_run(landing: Lake) -> None:
    landing.put(f"{STREAMS}/a.csv", BAD)
    landing.before("PutObject", lambda _: landing.put(f"{STREAMS}/a.csv", GOOD))

    assert ingest(landing, "quarantine") == nothing_to_do(quarantined=1)
    assert landing.get(f"{STREAMS}/a.csv") == GOOD.encode()
    assert quarantined(landing) == [BAD.encode()]


def test_two_bad_versions_of_a_file_are_both_kept_when_the_first_attempt_died(landing: Lake) -> None:
    other = BAD + "u1,t2\n"
    landing.put(f"{STREAMS}/good.csv", GOOD)
    landing.put(f"{STREAMS}/a.csv", BAD)

    def break_off(params: dict[str, Any]) -> None:
        if params["Key"] == FOLDER.manifest:
            raise ConnectionError("gone")

    landing.before("PutObject", break_off)
    with pytest.raises(ConnectionError):
        ingest(landing, "quarantine")
    landing.put(f"{STREAMS}/a.csv", other)

    assert ingest(replace(landing, s3=landing.producer), "quarantine") == computes(1, quarantined=1)
    assert sorted(quarantined(landing)) == sorted([BAD.encode(), other.encode()])


def test_pending_dates_alone_are_reason_enough(landing: Lake) -> None:
    commit(landing, EARLIER)
    assert ingest(landing) == computes(0)
    assert landing.record(FOLDER.manifest)["files"] == []
    assert landing.get(layout.REFERENCE_SONGS) == SONGS.encode()


def test_dates_asked_for_are_reason_enough(landing: Lake) -> None:
    assert ingest(landing, recompute=DateRange.from_params("2024-06-01", "2024-06-30")) == computes(0)
    assert landing.record(FOLDER.manifest)["recompute"] == {"from": "2024-06-01", "to": "2024-06-30"}


def test_a_retry_of_a_validated_batch_reuses_its_pins(landing: Lake) -> None:
    landing.put(f"{STREAMS}/a.csv", GOOD)
    ingest(landing)
    manifest = landing.record(FOLDER.manifest)
    landing.put(f"{STREAMS}/a.csv", BAD)
    landing.put(f"{STREAMS}/late.csv", BAD)
    landing.put(layout.SONGS, "broken")

    assert ingest(landing) == computes(1)
    assert landing.record(FOLDER.manifest) == manifest
    assert landing.get(layout.REFERENCE_SONGS) == SONGS.encode()


def test_a_committed_batch_is_returned_as_it_was_committed(lake: Lake) -> None:
    commit(lake, BATCH, files=[{"key": f"{STREAMS}/a.csv"}, {"key": f"{STREAMS}/b.csv"}])
    before = lake.keys()

    assert ingest(lake, recompute=DateRange.from_params("2024-06-01", "2024-06-30")) == computes(2)
    assert lake.keys() == before


def test_of_two_attempts_at_a_batch_the_first_to_vouch_wins(landing: Lake) -> None:
    landing.put(f"{STREAMS}/a.csv", GOOD)
    first: dict[str, Any] = {"batch_id": BATCH, "time": "2024-06-26T00:00:00+00:00", "files": [], "recompute": None}

    def vouch_first(params: dict[str, Any]) -> None:
        if params["Key"] == FOLDER.manifest:
            Bucket(landing.bucket, landing.producer).write_json(FOLDER.manifest, first)

    landing.before("PutObject", vouch_first)

    assert ingest(landing) == computes(0)
    assert landing.record(FOLDER.manifest) == first


def test_the_reference_tables_are_promoted_as_they_were_validated(landing: Lake) -> None:
    landing.put(f"{STREAMS}/a.csv", GOOD)
    landing.before("PutObject", lambda _: landing.put(layout.SONGS, "replaced after it was validated"))

    ingest(landing)

    assert landing.get(layout.REFERENCE_SONGS) == SONGS.encode()


def test_what_was_validated_is_what_was_pinned(landing: Lake) -> None:
    landing.put(f"{STREAMS}/a.csv", GOOD)

    def replace(params: dict[str, Any]) -> None:
        if params["Key"].startswith(FOLDER.pins):
            landing.put(f"{STREAMS}/a.csv", BAD)

    landing.before("GetObject", replace)

    assert ingest(landing) == computes(1)
    (file,) = landing.record(FOLDER.manifest)["files"]
    assert landing.get(file["copy"]) == GOOD.encode()
