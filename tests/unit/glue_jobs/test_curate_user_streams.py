"""Which rows of a stream file are events, which are rejected and why, and that each event is accepted once."""

import datetime as dt
import io
import random
from collections.abc import Iterable

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - PySpark's own convention

from expectations.records import BLANKS, CsvFile
from glue_jobs.curate_user_streams import judge_rows, new_events, parse_lines, without_headers
from glue_jobs.curated_events import SCHEMA

HEADER = "user_id,track_id,listen_time"
BATCH_TIME = dt.datetime(2024, 6, 26, 1, 2, 3, 500_000, tzinfo=dt.UTC)


def judged(
    spark: SparkSession, lines: Iterable[str], header: str = HEADER, columns: tuple[str, ...] | None = None
) -> DataFrame:
    rows = spark.createDataFrame([("file.csv", line) for line in lines], "source_file string, raw_line string")
    return judge_rows(parse_lines(rows, columns or tuple(header.split(","))), header, BATCH_TIME)


def outcome(spark: SparkSession, line: str) -> tuple[str | None, ...]:
    row = (
        judged(spark, [line])
        .select("user_id", "track_id", F.col("listen_time").cast("string").alias("listen_time"), "reason", "raw_line")
        .collect()[0]
    )
    return ("rejected", row.reason, row.raw_line) if row.reason else (row.user_id, row.track_id, row.listen_time)


def test_every_good_row_is_an_event_and_every_other_keeps_its_reason_and_raw_line(spark: SparkSession) -> None:
    time = "2024-06-25 17:43:13"
    accepted = {
        f"u1,t1,{time}": ("u1", "t1", time),
        f" u1\t,  t1 ,{time}  ": ("u1", "t1", time),
        f'"u,1","t""1","{time}"': ("u,1", 't"1', time),
        f"u'1,#t1,{time}": ("u'1", "#t1", time),
        f'u"1,t1,{time}': ('u"1', "t1", time),
        f"ü1,曲,{time}": ("ü1", "曲", time),
        f'"u\n1",t1,{time}': ("u\n1", "t1", time),
        f"null,NaN,{time}": ("null", "NaN", time),
        "u1,t1,2024-02-29 23:59:59": ("u1", "t1", "2024-02-29 23:59:59"),
        "u1,t1,0001-01-01 00:00:00": ("u1", "t1", "0001-01-01 00:00:00"),
        "u1,t1,2024-06-27 01:02:03": ("u1", "t1", "2024-06-27 01:02:03"),
        "x" * 1_000_000 + f",t1,{time}": ("x" * 1_000_000, "t1", time),
    }
    rejected = {
        f",t1,{time}": "user_id is missing",
        f"  ,t1,{time}": "user_id is missing",
        f'u1,"",{time}': "track_id is missing",
        "u1,t1,": "listen_time is missing",
        "u1,t1": "wrong number of fields",
        f"u1,t1,{time},": "wrong number of fields",
        f'"u1,t1,{time}': "misplaced quote",
        f"u1;t1;{time}": "wrong number of fields",
        "," * 1_000_000: "wrong number of fields",
        f'u1,t1,"{time}': "misplaced quote",
        f'"u1" ,t1,{time}': "misplaced quote",
        '"' * 1_000_001: "misplaced quote",
        f"u\uffff1,t1,{time}": "forbidden character",
        f"u\0,t1,{time}": "forbidden character",
        f"\0u1,t1,{time}": "forbidden character",
        "u1,t1,2024-02-30 10:00:00": "listen_time is not a timestamp",
        "u1,t1,2023-02-29 10:00:00": "listen_time is not a timestamp",
        "u1,t1,2024-06-25 24:00:00": "listen_time is not a timestamp",
        "u1,t1,2024-06-25 23:59:60": "listen_time is not a timestamp",
        "u1,t1,2024-06-25T10:00:00": "listen_time is not a timestamp",
        "u1,t1,2024-06-25 10:00:00Z": "listen_time is not a timestamp",
        "u1,t1,2024-06-25 10:00:00+02:00": "listen_time is not a timestamp",
        "u1,t1,2024-06-25 10:00:00.5": "listen_time is not a timestamp",
        "u1,t1,2024-6-25 1:00:00": "listen_time is not a timestamp",
        "u1,t1,2024-06-25": "listen_time is not a timestamp",
        "u1,t1,1719308593": "listen_time is not a timestamp",
        "u1,t1,0000-01-01 00:00:00": "listen_time is not a timestamp",
        "u1,t1,٢٠٢٤-06-25 10:00:00": "listen_time is not a timestamp",
        "u1,t1,2024-06-27 01:02:04": "listen_time is in the future",
        "u1,t1,9999-12-31 23:59:59": "listen_time is in the future",
    }
    expected = {**accepted, **{line: ("rejected", reason, line) for line, reason in rejected.items()}}
    rows = (
        judged(spark, expected)
        .select("user_id", "track_id", F.col("listen_time").cast("string").alias("listen_time"), "reason", "raw_line")
        .collect()
    )
    outcomes = [
        ("rejected", row.reason, row.raw_line) if row.reason else (row.user_id, row.track_id, row.listen_time)
        for row in rows
    ]
    assert outcomes == list(expected.values())


def test_validation_and_curation_read_any_line_alike(spark: SparkSession) -> None:
    dice = random.Random(5)
    letters = [
        *'u1"",,; \t\\\'#é😀',
        *"\0\x0b\x1c\x85\u00a0\u2028\ufeff\ufffe\uffff",
        '""',
        '","',
        "2024-06-25 10:00:00",
    ]
    fields = [
        "u1",
        '"u,1"',
        '"u""1"',
        'u"1',
        '""',
        '"u1" ',
        ' "u1"',
        '"u"1',
        '"u1',
        " u1 ",
        "2024-06-25 10:00:00\u2028",
    ]
    lines = ["".join(dice.choices(letters, k=dice.randint(1, 14))) for _ in range(2000)]
    lines += [",".join(dice.choices(fields, k=dice.choice((2, 3, 3, 3, 4)))) for _ in range(2000)]
    lines = [line for line in lines if line.strip(BLANKS)]
    rows = spark.createDataFrame([("file.csv", line) for line in lines], "source_file string, raw_line string")

    found = parse_lines(rows, HEADER.split(",")).select("fault", "user_id", "track_id", "listen_time").collect()

    assert [tuple(row) if row.fault is None else row.fault for row in found] == [as_validated(line) for line in lines]


def as_validated(line: str) -> str | tuple[str | None, ...]:
    file = CsvFile(io.BytesIO(f"{HEADER}\n{line}".encode()))
    (chunk,) = file.chunks()
    faults = {
        "misplaced quote": file.misquoted,
        "forbidden character": file.forbidden,
        "wrong number of fields": file.misshapen,
    }
    for fault, found in faults.items():
        if found.count:
            return fault
    return (None, *[column[0].strip(BLANKS) or None for column in chunk.columns])


def test_columns_go_by_name_in_any_order_beside_others(spark: SparkSession) -> None:
    header = "listen_time,comment,user_id,comment,track_id"
    row = judged(spark, ["2024-06-25 00:00:00,a,u1,b,t1"], header).collect()[0]
    assert (row.user_id, row.track_id, row.reason) == ("u1", "t1", None)


def test_an_event_belongs_to_its_utc_date(spark: SparkSession) -> None:
    rows = judged(spark, ["u,t,2024-06-25 00:00:00", "u,t,2024-06-25 23:59:59"]).collect()
    assert {row.listen_date for row in rows} == {dt.date(2024, 6, 25)}


def test_a_header_is_no_row_but_a_repeated_one_is_rejected(spark: SparkSession) -> None:
    lines = [HEADER, "u,t,2024-06-25 00:00:00", HEADER, HEADER]
    reasons = [row.reason for row in without_headers(judged(spark, lines)).collect()]
    assert sorted(reasons, key=str) == [None, "repeated header", "repeated header"]


def test_an_event_is_accepted_once_whatever_holds_it_already(spark: SparkSession) -> None:
    lines = [
        "u,t,2024-06-25 10:00:00",
        " u,t ,2024-06-25 10:00:00",
        "u,t,2024-06-25 10:00:01",
        "u,t2,2024-06-25 10:00:00",
    ]
    committed = spark.createDataFrame([("u", "t2")], "user_id string, track_id string").withColumn(
        "listen_time", F.lit("2024-06-25 10:00:00").cast("timestamp")
    )
    events = new_events(judged(spark, lines), committed)
    kept = events.select("track_id", F.col("listen_time").cast("string")).collect()
    assert sorted(map(tuple, kept)) == [("t", "2024-06-25 10:00:00"), ("t", "2024-06-25 10:00:01")]


def test_the_store_keeps_three_columns_of_fixed_types(spark: SparkSession) -> None:
    events = new_events(judged(spark, ["u,t,2024-06-25 10:00:00"]), spark.createDataFrame([], SCHEMA))
    assert [(field.name, field.dataType) for field in events.drop("listen_date").schema] == [
        (field.name, field.dataType) for field in SCHEMA
    ]


@pytest.mark.parametrize("field", ["user_id", "track_id", "listen_time"])
def test_the_reason_names_the_missing_field(spark: SparkSession, field: str) -> None:
    good = {"user_id": "u", "track_id": "t", "listen_time": "2024-06-25 10:00:00"}
    assert outcome(spark, ",".join({**good, field: ""}.values()))[:2] == ("rejected", f"{field} is missing")
