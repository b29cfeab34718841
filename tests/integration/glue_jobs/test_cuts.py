"""However files are cut into pieces and dates into parts, the same rows are read and the same bits computed."""

import gzip
import io
import json
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract import layout
from contract.bucket import Bucket
from contract.kpi_tables import KPI_TABLES
from glue_jobs import compute_kpis, events, kernel, stream_lines
from glue_jobs.compute_kpis import AUDIT_COLUMNS
from glue_jobs.stream_lines import PinnedFile, plan, rows
from sandbox.aws.endpoint import AwsEndpoint
from tests.pipeline import Pipeline

BATCH, NEXT = "20240626T000000Z-00000001", "20240627T000000Z-00000002"
HEADER = "user_id,track_id,listen_time"
DATES = ("2024-06-24", "2024-06-25")


def pinned(
    lake: Pipeline, content: bytes, *, line_per_record: bool = True, compression: str | None = None
) -> PinnedFile:
    key = f"pins/{uuid.uuid4()}.csv"
    lake.put(key, content)
    columns = tuple(HEADER.split(","))
    return PinnedFile(0, "landed.csv", key, len(content), HEADER, columns, line_per_record, compression)


def read(lake: Pipeline, file: PinnedFile, piece_bytes: int) -> list[tuple[str | None, ...]]:
    """The rows of a file that is read in pieces of so many bytes."""
    tables = [table for task in plan([file], piece_bytes) for table in rows(lake.bucket, task, piece_bytes)]
    found = [tuple(row.values())[1:] for table in tables for row in table.to_pylist()]
    return sorted(found, key=str)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    lines=st.lists(
        st.sampled_from(["u,t,1", "ü😀,曲,2", '"u,1",t,3', "", " ", ",,", "x", "u\x00,t,4", HEADER]), max_size=6
    ),
    ends=st.randoms(use_true_random=False),
    last_line_ends=st.booleans(),
)
def test_a_file_has_the_same_rows_whatever_the_pieces(
    lake: Pipeline, lines: Sequence[str], ends: random.Random, last_line_ends: bool
) -> None:
    text = "".join(line + ends.choice(["\n", "\r\n", "\r"]) for line in (HEADER, *lines))
    content = (text if last_line_ends else text.rstrip("\r\n")).encode()
    file = pinned(lake, content)
    whole = read(lake, file, len(content) + 1)
    for piece_bytes in (5, 16, 31):
        assert read(lake, file, piece_bytes) == whole, piece_bytes
    assert read(lake, pinned(lake, gzip.compress(content), compression="gzip"), 16) == whole
    assert len(whole) == sum(bool(line.strip(" ")) for line in lines)  # that rows of commas are none is judged later


def test_a_line_may_be_longer_than_several_pieces(lake: Pipeline) -> None:
    content = f"{HEADER}\nu1,t1,2024\n{'é' * 100_000},t2,2024\nu3,t3,2024\n".encode()
    assert [row[1] for row in read(lake, pinned(lake, content), 10_000)] == ["t1", "t3", "t2"]


def test_quoted_line_breaks_are_kept_whatever_is_read_at_once(lake: Pipeline) -> None:
    content = f'{HEADER}\r\n"u\r\n1",t,2024\r\nu2,"t,2024\r\n'.encode() * 50
    file = pinned(lake, content, line_per_record=False)
    whole = read(lake, file, 10**6)
    assert all(read(lake, file, at_once) == whole for at_once in (1, 2, 5, 64))


def test_a_gzip_file_that_was_cut_off_is_named(lake: Pipeline) -> None:
    content = gzip.compress(f"{HEADER}\n{'u,t,2024-06-25 10:00:00' * 100}\n".encode())[:-9]
    file = pinned(lake, content, compression="gzip")
    with pytest.raises(stream_lines.PinChangedError, match=r"pinned from landed\.csv\) is no whole gzip file"):
        read(lake, file, 10**6)


def test_a_query_that_cannot_have_its_memory_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "MEMORY_LIMIT", "1MB")
    with (
        pytest.raises(MemoryError, match="DuckDB cannot allocate what a query needs"),
        kernel.connection() as (database, _),
    ):
        database.execute("create table t as select range::varchar || repeat('x', 100) from range(1000000)")


def day(events_of_day: int, seed: int) -> bytes:
    dice = random.Random(seed)
    times = [f"{dice.choice(DATES)} {dice.randrange(24):02}:00:{dice.randrange(60):02}" for _ in range(events_of_day)]
    lines = [f"u{dice.randrange(40)},t{dice.randrange(6)},{time}" for time in times]
    return "".join(f"{line}\n" for line in (HEADER, *lines)).encode()


def bits_of_kpis(lake: Pipeline, batch_id: str) -> dict[str, list[str]]:
    """Each table's rows, but for the times of their computation."""
    bits = dict[str, list[str]]()
    for table in KPI_TABLES:
        lake.compute(batch_id, table)
        (entry,) = lake.record(table.copy_manifest(batch_id))["entries"]
        content = lake.bucket.read(entry["url"].removeprefix(lake.bucket.url("")))
        found = pyarrow.parquet.read_table(io.BytesIO(content)).drop_columns(AUDIT_COLUMNS)
        bits[table.name] = [repr(row) for row in found.to_pylist()]
    return bits


CONTENTS = {"a": day(150, 1), "b": day(90, 2), "c": day(60, 3)}


@dataclass(frozen=True)
class Uncut:
    """What becomes of CONTENTS when each date is one part, and each file one piece."""

    bits: dict[str, list[str]]
    events: list[tuple[str, str, str]]


@pytest.fixture(scope="module")
def uncut(aws: AwsEndpoint) -> Uncut:
    """The rows and events of a batch that is not cut, all in one task."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in aws.environment().items():
            environment.setenv(name, value)
        lake = Pipeline.with_songs_and_users(f"uncut-{uuid.uuid4()}")
        for name, content in CONTENTS.items():
            lake.land(f"{name}.csv", content)
        lake.ingest(BATCH)
        return Uncut(events=sorted(lake.events(lake.curate(BATCH))), bits=bits_of_kpis(lake, BATCH))


@pytest.mark.usefixtures("aws_in_environment")
@pytest.mark.parametrize(
    ("files", "bucket_events", "piece_bytes"),
    [
        pytest.param(["a", "b", "c"], 40, 1_000, id="small parts of small pieces"),
        pytest.param(["c", "a", "b"], 100, 5_000, id="small parts in another order"),
        pytest.param(["b", "c", "a"], 4_000_000, 1_000, id="one part of small pieces"),
    ],
)
def test_the_bits_of_a_kpi_do_not_depend_on_how_the_work_was_cut(
    uncut: Uncut, monkeypatch: pytest.MonkeyPatch, files: list[str], bucket_events: int, piece_bytes: int
) -> None:
    cut = Pipeline.with_songs_and_users(f"cut-{uuid.uuid4()}")
    for number, name in enumerate(files):
        cut.land(f"{number}.csv", CONTENTS[name])
    cut.ingest(BATCH)
    monkeypatch.setattr(events, "EVENTS_PER_BUCKET", bucket_events)
    monkeypatch.setattr(compute_kpis, "EVENTS_PER_TASK", bucket_events)
    monkeypatch.setattr(stream_lines, "PIECE_BYTES", piece_bytes)
    monkeypatch.setattr(stream_lines, "UNCUT_BYTES", 0)
    record = cut.curate(BATCH)
    assert {file["buckets"] for file in record["curated_files"]} == {
        events.buckets_for(len(b"".join(CONTENTS.values())) // 45)
    }
    assert bits_of_kpis(cut, BATCH) == uncut.bits
    assert sorted(cut.events(record)) == uncut.events


def test_batches_that_were_cut_into_different_parts_are_one_store(
    lake: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    for batch, content, bucket_events in ((BATCH, day(300, 1), 60), (NEXT, day(300, 1) + day(40, 9)[29:], 4_000_000)):
        monkeypatch.setattr(events, "EVENTS_PER_BUCKET", bucket_events)
        lake.land(f"{batch}.csv", content)
        lake.ingest(batch)
        record = lake.curate(batch)
        lake.s3.delete_object(Bucket=lake.bucket.name, Key=f"{layout.USER_STREAMS}/{batch}.csv")
    assert record["rows_duplicate"] >= 300 - record["rows_rejected"]
    of_one_part = bits_of_kpis(lake, NEXT)
    for bucket_events in (40, 100):
        monkeypatch.setattr(events, "EVENTS_PER_BUCKET", bucket_events)
        assert bits_of_kpis(lake, NEXT) == of_one_part


def test_a_lake_of_the_version_before_stays_readable(lake: Pipeline) -> None:
    """Spark wrote times with a zone, records knew no buckets and manifests no rows."""
    lake.land("a.csv", f"{HEADER}\nu1,t1,2024-06-25 10:00:00\nu2,t1,2024-06-25 23:59:59\n".encode())
    lake.ingest(BATCH)
    record = lake.curate(BATCH)
    (file,) = record["curated_files"]
    table = pyarrow.parquet.read_table(io.BytesIO(lake.bucket.read(file["key"])))
    written = io.BytesIO()
    times = table["listen_time"].cast(pa.timestamp("us", "UTC"))
    pyarrow.parquet.write_table(table.set_column(2, "listen_time", times), written)
    old_key = f"{layout.curated_folder('2024-06-25', BATCH, 'jr_old')}/part-00000-c0ffee.c000.snappy.parquet"
    lake.put(old_key, written.getvalue())
    record["curated_files"] = [{"key": old_key, "listen_date": "2024-06-25", "rows": 2}]
    lake.put(layout.BatchFolder(BATCH).curation_record, json.dumps(record).encode())

    lake.land("b.csv", f"{HEADER}\nu1,t1,2024-06-25 10:00:00\nu3,t1,2024-06-25 10:00:00\n".encode())
    lake.ingest(NEXT)
    manifest = lake.record(layout.BatchFolder(NEXT).manifest)
    manifest["files"] = [
        {name: value for name, value in entry.items() if name not in {"rows", "compression"}}
        for entry in manifest["files"]
    ]
    lake.put(layout.BatchFolder(NEXT).manifest, json.dumps(manifest).encode())
    later = lake.curate(NEXT)
    assert (later["rows_accepted"], later["rows_duplicate"]) == (1, 3)
    hours = {row.split(",")[1]: row.split(",")[2] for row in lake.compute_all(NEXT)["hourly_kpis"].splitlines()[1:]}
    assert hours == {"10": "2", "23": "1"}
    late = "select user_id from events where listen_time > timestamp '2024-06-25 10:00:00'"
    assert lake.sql_on_events(late) == ["u2"]


def test_a_bucket_that_reaches_another_process_takes_that_process_s_client(lake: Pipeline) -> None:
    function, arguments = lake.bucket.__reduce__()
    assert isinstance(function(*arguments), Bucket)
    assert function(*arguments) is function(*arguments)


def test_the_hash_that_cuts_dates_is_that_of_the_store() -> None:
    assert duckdb.execute("select md5_number_lower('u1') % 1024").fetchall() == [(577,)]
