"""The three jobs on real S3 calls: what they commit, what they leave alone, and that the numbers are exact."""

import csv
import gzip
import io
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import date, datetime
from pathlib import Path

import pytest

from contract import layout
from contract.kpi_tables import KPI_TABLES, kpi_table
from contract.records import committed_files
from glue_jobs import events
from glue_jobs.distribution import in_driver
from glue_jobs.spark_distribution import KernelError
from glue_jobs.stages import Distribution
from sandbox.home import SandboxError
from sandbox.sample_catalogue import Catalogue
from sandbox.sample_events import write_sample_day
from tests.oracle import expected_tables
from tests.pipeline import SONGS, USERS, Pipeline, on_warm

FIRST, SECOND, THIRD = "20240626T000000Z-00000001", "20240627T000000Z-00000002", "20240628T000000Z-00000003"


def stream(*rows: str, header: str = "user_id,track_id,listen_time") -> bytes:
    return "".join(f"{line}\n" for line in (header, *rows)).encode()


def test_a_sample_day_gives_exactly_the_tables_worked_out_in_plain_python(lake: Pipeline, tmp_path: Path) -> None:
    write_sample_day(tmp_path, date(2024, 6, 26), events=5_000, catalogue=Catalogue(songs=3_000, users=800))
    songs, users = (tmp_path / "songs.csv").read_bytes(), (tmp_path / "users.csv").read_bytes()
    streams = [(path.name, path.read_bytes()) for path in sorted((tmp_path / "user_streams").iterdir())]
    lake.put(layout.SONGS, songs)
    lake.put(layout.USERS, users)
    for name, content in streams:
        lake.land(name, content)

    lake.ingest(FIRST)
    record = lake.curate(FIRST)
    tables = lake.compute_all(FIRST)

    time = datetime.fromisoformat(lake.record(layout.BatchFolder(FIRST).manifest)["time"])
    expected = expected_tables(songs, users, streams, time)
    assert expected.differences(tables) == ""
    assert record["rows_accepted"] == expected.accepted
    assert record["rows_duplicate"] == expected.duplicates > 0
    assert record["rejected_by_reason"] == dict(expected.rejected)
    assert record["rows_rejected"] > 0
    assert record["accepted_by_date"] == {day.isoformat(): n for day, n in expected.accepted_by_date.items()}
    assert sum(file["rows_read"] for file in record["files"]) == record["rows_read"]


def test_an_event_counts_once_though_a_later_batch_holds_it_again(lake: Pipeline) -> None:
    lake.land("monday.csv", stream("u1,t1,2024-06-25 10:00:00", "u2,t1,2024-06-25 10:00:00"))
    lake.ingest(FIRST)
    lake.curate(FIRST)
    lake.land(
        "tuesday.csv", stream("u1,t1,2024-06-25 10:00:00", "u1,t2,2024-06-26 00:00:00", "u1,t2,2024-06-26 00:00:00")
    )
    lake.s3.delete_object(Bucket=lake.bucket.name, Key=f"{layout.USER_STREAMS}/monday.csv")
    lake.ingest(SECOND)
    record = lake.curate(SECOND)
    assert (record["rows_read"], record["rows_accepted"], record["rows_duplicate"]) == (3, 1, 2)
    assert record["rows_late"] == 0, "no earlier batch had events of the 26th"
    # Duplicates count as touched: a reader of the record sees every date that the batch speaks of.
    assert record["dates"] == ["2024-06-25", "2024-06-26"]
    assert record["covers"] == [FIRST]


def test_events_are_late_when_an_earlier_batch_had_events_of_their_date(lake: Pipeline) -> None:
    lake.land("monday.csv", stream("u1,t1,2024-06-24 10:00:00"))
    lake.ingest(FIRST)
    assert lake.curate(FIRST)["rows_late"] == 0
    lake.land("a.csv", stream("u1,t1,2024-06-23 10:00:00", "u1,t1,2024-06-24 11:00:00", "u2,t1,2024-06-24 12:00:00"))
    lake.ingest(SECOND)
    assert lake.curate(SECOND)["rows_late"] == 2, (
        "nothing came of the 23rd before, and the first event of the 24th is old"
    )


def test_a_committed_batch_is_never_rewritten(lake: Pipeline) -> None:
    lake.land("a.csv", stream("u1,t1,2024-06-25 10:00:00"))
    lake.ingest(FIRST)
    committed = lake.curate(FIRST)
    stored = lake.keys(layout.CURATED)
    assert lake.curate(FIRST) == committed
    assert lake.keys(layout.CURATED) == stored


def test_jobs_work_in_a_folder_whose_name_has_a_quote(
    lake: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "somebody's folder"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    for batch_id, user in ((FIRST, "u1"), (SECOND, "u2")):
        lake.land(f"{user}.csv", stream(f"{user},t1,2024-06-25 10:00:00"))
        lake.ingest(batch_id)
        lake.curate(batch_id)
    (hour,) = csv.DictReader(io.StringIO(lake.compute_all(SECOND)["hourly_kpis"]))
    assert hour["listen_count"] == "2"


def test_what_a_crashed_attempt_left_does_not_exist_for_readers(lake: Pipeline) -> None:
    lake.land("a.csv", stream("u1,t1,2024-06-25 10:00:00"))
    lake.ingest(FIRST)
    lake.curate(FIRST)
    (stored,) = [file["key"] for file in lake.record(layout.BatchFolder(FIRST).curation_record)["curated_files"]]
    for left in (stored.replace("attempt=", "attempt=crashed-"), stored.replace(FIRST, SECOND)):
        lake.s3.copy_object(Bucket=lake.bucket.name, Key=left, CopySource={"Bucket": lake.bucket.name, "Key": stored})
    counts = {row["listen_count"] for row in csv.DictReader(io.StringIO(lake.compute_all(FIRST)["hourly_kpis"]))}
    assert counts == {"1"}


def test_sql_on_events_sees_what_the_kpis_count_and_nothing_else(lake: Pipeline) -> None:
    assert lake.sql_on_events("select * from events") == []
    lake.land("monday.csv", stream("u1,t1,2024-06-24 10:00:00", "u2,t2,2024-06-25 10:00:00"))
    lake.ingest(FIRST)
    lake.curate(FIRST)
    lake.land("tuesday.csv", stream("u2,t2,2024-06-25 10:00:00", "ü9,t9,2024-06-25 10:59:59", "u1,t1,yesterday"))
    lake.ingest(SECOND)
    record = lake.curate(SECOND, max_reject_rate=1)
    stored = record["curated_files"][0]["key"]
    crashed = stored.replace("attempt=", "attempt=crashed-")
    lake.s3.copy_object(Bucket=lake.bucket.name, Key=crashed, CopySource={"Bucket": lake.bucket.name, "Key": stored})

    plays = "select listen_date, hour(listen_time), count(*) from events group by all order by all"
    hours = csv.DictReader(io.StringIO(lake.compute_all(SECOND)["hourly_kpis"]))
    counted = [f"{row['listen_date']},{row['listen_hour']},{row['listen_count']}" for row in hours]
    assert lake.sql_on_events(plays) == counted == ["2024-06-24,10,1", "2024-06-25,10,2"]
    assert lake.sql_on_events("select * from events where listen_date = date '2024-06-25' order by listen_time") == [
        "u2,t2,2024-06-25 10:00:00,2024-06-25",
        "ü9,t9,2024-06-25 10:59:59,2024-06-25",
    ]
    with pytest.raises(SandboxError, match='column "listener" not found'):
        lake.sql_on_events("select listener from events")


def test_sql_on_events_opens_only_the_files_of_the_dates_that_it_asks_for(lake: Pipeline) -> None:
    lake.land("a.csv", stream("u1,t1,2024-06-24 10:00:00", "u1,t1,2024-06-25 10:00:00"))
    lake.ingest(FIRST)
    monday, _ = lake.curate(FIRST)["curated_files"]
    lake.put(monday["key"], b"is not read")
    assert lake.sql_on_events("select user_id from events where listen_date = date '2024-06-25'") == ["u1"]
    with pytest.raises(SandboxError, match=r"listen_date=2024-06-24"):
        lake.sql_on_events("select user_id from events")


def test_lists_that_a_dead_job_did_not_write_are_written_by_its_repetition_or_by_the_next_batch(lake: Pipeline) -> None:
    lake.land("a.csv", stream("u1,t1,2024-06-24 10:00:00", "u1,t1,2024-06-25 10:00:00"))
    lake.ingest(FIRST)
    lake.curate(FIRST)
    lists = lake.keys(layout.EVENT_LISTS)
    assert lists == [layout.event_list(date, FIRST) for date in ("2024-06-24", "2024-06-25")]
    for batch_id in (FIRST, SECOND):
        for key in lists:
            lake.s3.delete_object(Bucket=lake.bucket.name, Key=key)
        lake.ingest(batch_id)
        lake.curate(batch_id)
        assert lake.keys(layout.EVENT_LISTS) == lists


def test_rejected_rows_keep_reason_file_and_raw_line(lake: Pipeline) -> None:
    lake.land(
        "b ü.csv",
        stream(
            "u1,t1,2024-06-25 10:00:00",
            'u1,"t ""1"" ü",25.06.2024',
            ',"x,y",2024-06-25 10:00:00',
            '"u1,t1,2024-06-25 10:00:01',
        ),
    )
    lake.ingest(FIRST)
    record = lake.curate(FIRST, max_reject_rate=0.75)
    rows = [
        json.loads(line)
        for key in lake.keys(f"{layout.BatchFolder(FIRST).quarantined_rows}/attempt=jr_00001/")
        for line in lake.text(key).splitlines()
    ]
    source = f"{layout.USER_STREAMS}/b ü.csv"
    assert sorted(rows, key=lambda row: row["raw_line"]) == [
        {"reason": "misplaced quote", "source_file": source, "raw_line": '"u1,t1,2024-06-25 10:00:01'},
        {"reason": "user_id is missing", "source_file": source, "raw_line": ',"x,y",2024-06-25 10:00:00'},
        {"reason": "listen_time is not a timestamp", "source_file": source, "raw_line": 'u1,"t ""1"" ü",25.06.2024'},
    ]
    assert record["rows_rejected"] == 3
    assert record["rows_accepted"] == 1


def test_too_many_rejected_rows_stop_the_batch_and_lose_nothing(lake: Pipeline) -> None:
    lake.land("a.csv", stream("u1,t1,2024-06-25 10:00:00", "u1,t1,yesterday"))
    lake.ingest(FIRST)
    with pytest.raises(
        ValueError,
        match=r"1 of 2 rows are rejected, more than .* 0\.49 allows.* with max_reject_rate 0\.5",
    ):
        lake.curate(FIRST, max_reject_rate=0.49)
    assert lake.record(f"{layout.BatchFolder(FIRST).root}/rejected.json")["rejected_by_reason"] == {
        "listen_time is not a timestamp": 1
    }
    assert lake.keys(f"{layout.BatchFolder(FIRST).quarantined_rows}/attempt=jr_00001/")
    assert committed_files(lake.bucket, ["2024-06-25"]) == []  # what was written does not count
    assert lake.curate(FIRST, max_reject_rate=0.5)["rows_accepted"] == 1


def test_files_of_different_headers_are_read_by_name(lake: Pipeline) -> None:
    lake.land("a.csv", stream("u1,t1,2024-06-25 10:00:00"))
    lake.land("b.csv", stream("2024-06-25 10:00:00,x,t2,u2", header="listen_time,note, track_id,user_id"))
    lake.land("c.csv", b"\xef\xbb\xbf" + stream("u3,t3,2024-06-25 10:00:00").replace(b"\n", b"\r\n"))
    lake.land(
        "d.csv",
        stream(
            'u4,t3,2024-06-25 10:00:00,"two\nlines"',
            "u5,t3,2024-06-25 10:00:00,",
            header="user_id,track_id,listen_time,note",
        ),
    )
    lake.ingest(FIRST)
    record = lake.curate(FIRST)
    assert (record["rows_read"], record["rows_accepted"]) == (5, 5), record["rejected_by_reason"]


def test_pending_dates_alone_are_a_batch(lake: Pipeline) -> None:
    lake.land("a.csv", stream("u1,t1,2024-06-25 10:00:00"))
    lake.ingest(FIRST)
    lake.curate(FIRST)
    lake.s3.delete_object(Bucket=lake.bucket.name, Key=f"{layout.USER_STREAMS}/a.csv")
    lake.ingest(SECOND)
    record = lake.curate(SECOND)
    assert (record["rows_read"], record["dates"], record["covers"]) == (0, ["2024-06-25"], [FIRST])
    assert list(lake.compute_all(SECOND)) == [table.name for table in KPI_TABLES]


def test_recompute_takes_the_dates_of_the_range_that_have_events(lake: Pipeline) -> None:
    lake.land("a.csv", stream(*[f"u1,t1,2024-06-{day} 10:00:00" for day in (10, 12, 20)]))
    lake.ingest(FIRST)
    lake.curate(FIRST)
    lake.put(layout.BatchFolder(FIRST).loaded_record, b"{}")
    lake.s3.delete_object(Bucket=lake.bucket.name, Key=f"{layout.USER_STREAMS}/a.csv")
    lake.ingest(SECOND, recompute=("2024-06-11", "2024-06-20"))
    assert lake.curate(SECOND)["dates"] == ["2024-06-12", "2024-06-20"]
    lake.put(layout.BatchFolder(SECOND).loaded_record, b"{}")
    lake.ingest(THIRD, recompute=("2030-01-01", "2030-12-31"))
    assert lake.curate(THIRD)["dates"] == []
    for table in lake.compute_all(THIRD).values():
        assert len(table.splitlines()) == 1


def test_the_copy_manifest_names_every_part_with_its_length_and_each_row_tells_what_its_date_has(
    lake: Pipeline,
) -> None:
    lake.land("a.csv", stream("u1,t1,2024-06-25 10:00:00", "u2,t3,2024-06-25 11:00:00", "u2,t3,2024-06-26 11:00:00"))
    lake.ingest(FIRST)
    lake.curate(FIRST)
    lake.compute_all(FIRST)
    folder = f"{kpi_table('genre_level_kpis').output}/batch_id={FIRST}"
    manifest = lake.record(f"{folder}/manifest.json")
    sizes = {
        f"s3://{lake.bucket.name}/{entry['Key']}": entry["Size"]
        for entry in lake.s3.list_objects_v2(Bucket=lake.bucket.name, Prefix=f"{folder}/attempt=")["Contents"]
        if entry["Key"].endswith(".parquet")
    }
    assert {entry["url"]: entry["meta"]["content_length"] for entry in manifest["entries"]} == sizes
    assert all(entry["mandatory"] for entry in manifest["entries"])
    assert manifest["dates"] == {"2024-06-25": {"rows": 2, "plays": 2}, "2024-06-26": {"rows": 1, "plays": 1}}
    time = datetime.fromisoformat(manifest["computed_at"]).isoformat(" ")
    rows = csv.reader(io.StringIO(lake.raw_kpis(FIRST, kpi_table("genre_level_kpis"))))
    assert [[row[0], *row[-5:]] for row in rows] == [
        ["listen_date", "rows_of_date", "plays_of_date", "dates_of_batch", "batch_id", "computed_at"],
        ["2024-06-25", "2", "2", "2", FIRST, time],
        ["2024-06-25", "2", "2", "2", FIRST, time],
        ["2024-06-26", "1", "1", "2", FIRST, time],
    ]


def test_a_job_without_what_comes_before_it_says_so(lake: Pipeline) -> None:
    with pytest.raises(LookupError, match=f"{FIRST}/manifest.json is missing: validate_datasets has not passed"):
        lake.curate(FIRST)
    with pytest.raises(LookupError, match="run curate-user-streams first"):
        lake.compute_all(FIRST)


def test_a_pin_that_is_gone_ends_curation_before_anything_is_written(lake: Pipeline) -> None:
    lake.land("a.csv", stream("u1,t1,2024-06-25 10:00:00", "u1,t1,yesterday"))
    lake.land("b ü.csv", stream("u2,t1,2024-06-25 10:00:00"))
    lake.ingest(FIRST)
    pinned = {file["key"]: file for file in lake.record(layout.BatchFolder(FIRST).manifest)["files"]}
    gone = pinned[f"{layout.USER_STREAMS}/b ü.csv"]
    lake.s3.delete_object(Bucket=lake.bucket.name, Key=gone["copy"])
    before = lake.keys(layout.ROOT)

    with pytest.raises(LookupError) as refusal:
        lake.curate(FIRST, max_reject_rate=1)

    assert "1 of 2 pinned files are gone, so nothing is written" in str(refusal.value)
    assert f"s3://{lake.bucket.name}/{gone['copy']} (pinned from {gone['key']})" in str(refusal.value)
    assert "trigger a new run" in str(refusal.value)
    assert lake.keys(layout.ROOT) == before
    # The way out: a new run pins what still lies in the landing prefix.
    lake.ingest(SECOND)
    assert lake.curate(SECOND, max_reject_rate=1)["rows_accepted"] == 2


def test_the_small_tables_of_these_tests_are_exact_too(lake: Pipeline) -> None:
    content = stream("u1,t1,2024-06-25 10:00:00", "u2,t3,2024-06-25 10:00:00", "u9,t9,2024-06-25 23:59:59")
    lake.land("a.csv", content)
    lake.ingest(FIRST)
    lake.curate(FIRST)
    tables = lake.compute_all(FIRST)
    time = datetime.fromisoformat(lake.record(layout.BatchFolder(FIRST).manifest)["time"])
    expected = expected_tables(SONGS, USERS, [("a.csv", content)], time)
    assert expected.differences(tables) == ""


def test_on_spark_s_workers_the_tables_are_the_same(lake: Pipeline, spark: Distribution) -> None:
    lake.land("a.csv", stream("u1,t1,2024-06-25 10:00:00", "u2,t3,2024-06-25 10:00:00", "u1,t1,yesterday"))
    lake.land("b.csv", stream("u9,t9,2024-06-26 23:59:59", "u1,t1,2024-06-25 10:00:00"))
    lake.ingest(FIRST)
    on_workers = Pipeline(lake.bucket.name, on_warm(spark))
    record = on_workers.curate(FIRST, max_reject_rate=0.5)
    assert (record["rows_accepted"], record["rows_duplicate"], record["rows_rejected"]) == (3, 1, 1)
    assert without_time(on_workers.compute_all(FIRST)) == without_time(lake.compute_all(FIRST))


def test_a_file_that_cannot_be_cut_is_shared_out_once_its_events_are_many(
    lake: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def asking(job_name: str, tasks: int) -> AbstractContextManager[Distribution]:
        asked.append(tasks)
        return in_driver(job_name, tasks)

    lake.land("a.csv.gz", gzip.compress(stream("u1,t1,2024-06-25 10:00:00", "u2,t1,2024-06-25 10:00:00")))
    lake.ingest(FIRST)
    monkeypatch.setattr(events, "EVENTS_PER_BUCKET", 1)
    Pipeline(lake.bucket.name, asking).curate(FIRST)
    (tasks,) = asked
    assert tasks > 1


def without_time(tables: Mapping[str, str]) -> dict[str, list[str]]:
    return {name: [line.rpartition(",")[0] for line in table.splitlines()] for name, table in tables.items()}


def test_the_records_of_one_task_are_shared_out_on_spark(spark: Distribution) -> None:
    def keys(task: int) -> Iterator[tuple[str, bytes]]:
        yield from ((str(number), b"") for number in range(20))

    def partition(_key: str, contents: Iterator[bytes]) -> Iterator[tuple[str, bytes]]:
        from pyspark import TaskContext  # noqa: PLC0415 - it runs on a worker

        list(contents)
        context = TaskContext.get()
        assert context is not None
        yield "", bytes([context.partitionId()])

    assert len(set(spark.run([0], keys, partition))) > 1


def test_an_error_on_spark_s_workers_is_reported_by_its_own_message(lake: Pipeline, spark: Distribution) -> None:
    lake.land("a.csv", stream("u1,t1,2024-06-25 10:00:00"))
    lake.ingest(FIRST)
    (file,) = lake.record(layout.BatchFolder(FIRST).manifest)["files"]
    lake.put(file["copy"], stream("u1,t1,2024-06-25 10:00:00", "u2,t1,2024-06-25 10:00:00"))
    with pytest.raises(KernelError, match=r"user_streams/a\.csv\) has 81 bytes, and had 55 when it was validated"):
        Pipeline(lake.bucket.name, on_warm(spark)).curate(FIRST)
    assert lake.keys(layout.CURATED) == []


def test_an_object_that_marks_a_folder_is_not_taken_for_a_file(lake: Pipeline) -> None:
    for key in ("attempt=1/", "attempt=1/part-0.parquet"):
        lake.put(f"curated/{key}", b"")
    assert lake.keys("curated/") == ["curated/attempt=1/part-0.parquet"]


def test_other_rows_than_validation_has_read_stop_the_batch(lake: Pipeline) -> None:
    lake.land("a.csv", stream("u1,t1,2024-06-25 10:00:00"))
    lake.ingest(FIRST)
    folder = layout.BatchFolder(FIRST)
    manifest = lake.record(folder.manifest)
    manifest["files"][0]["rows"] = 2
    lake.bucket.write_json(folder.manifest, manifest)
    with pytest.raises(ValueError, match=r"user_streams/a\.csv\) had 2 rows when it was validated, and 1 were read"):
        lake.curate(FIRST)
    assert lake.keys(folder.curation_record) == []
