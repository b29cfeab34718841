"""Which rows of a stream file are events, and which are rejected and why."""

import datetime as dt
import random
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pytest

from contract.csv_format import BLANKS, fields_of, is_blank, is_forbidden
from contract.rejections import latest_listen_time
from glue_jobs.curation import judge_rows
from glue_jobs.kernel import connection
from glue_jobs.stream_lines import PinnedFile, split_lines

HEADER = "user_id,track_id,listen_time"
BATCH_TIME = dt.datetime(2024, 6, 26, 1, 2, 3, 500_000, tzinfo=dt.UTC)


def judged(
    lines: Iterable[str], header: str = HEADER, columns: Sequence[str] | None = None, buckets: int = 1
) -> list[dict[str, Any]]:
    """The rows of lines, each with its verdict; `columns` are the names in the header."""
    names = tuple(columns or header.split(","))
    file = PinnedFile(0, "file.csv", "pin", 0, header, names, line_per_record=True)
    text = "\n".join(lines).encode()
    with connection() as (database, _):
        judge_rows(database, pa.concat_tables(split_lines(file, text)), latest_listen_time(BATCH_TIME), buckets)
        return database.sql("from judged").to_arrow_table().to_pylist()


def outcomes(lines: Iterable[str]) -> dict[str, tuple[str | None, ...]]:
    """What becomes of lines that are all rejected or of different users, by raw line or user."""
    return {
        row["raw_line"] or row["user_id"]: ("rejected", row["reason"])
        if row["reason"]
        else (row["user_id"], row["track_id"], f"{row['listen_time']}")
        for row in judged(lines)
    }


def test_every_good_row_is_an_event_and_every_other_keeps_its_reason_and_raw_line() -> None:
    time = "2024-06-25 17:43:13"
    accepted = {
        f"u1,t1,{time}": ("u1", "t1", time),
        f" u2\t,  t1 ,{time}  ": ("u2", "t1", time),
        f'"u,1","t""1","{time}"': ("u,1", 't"1', time),
        f"u'1,#t1,{time}": ("u'1", "#t1", time),
        f'u"1,t1,{time}': ('u"1', "t1", time),
        f"ü1,曲,{time}": ("ü1", "曲", time),
        f"null,NaN,{time}": ("null", "NaN", time),
        "u3,t1,2024-02-29 23:59:59": ("u3", "t1", "2024-02-29 23:59:59"),
        "u4,t1,0001-01-01 00:00:00": ("u4", "t1", "0001-01-01 00:00:00"),
        "u5,t1,2024-06-27 01:02:03": ("u5", "t1", "2024-06-27 01:02:03"),
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
        "x" + "," * 1_000_000: "wrong number of fields",
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
        "u1,t1,2024-06-25 10:00:00.5": "listen_time is not a timestamp",
        "u1,t1,2024-06-25 10:00:00 (BC)": "listen_time is not a timestamp",
        "u1,t1,12024-06-25 10:00:0": "listen_time is not a timestamp",
        "u1,t1,2024-6-25 1:00:00": "listen_time is not a timestamp",
        "u1,t1,2024-06-25": "listen_time is not a timestamp",
        "u1,t1,infinity": "listen_time is not a timestamp",
        "u1,t1,0000-01-01 00:00:00": "listen_time is not a timestamp",
        "u1,t1,٢٠٢٤-06-25 10:00:00": "listen_time is not a timestamp",
        "u1,t1,2024-06-27 01:02:04": "listen_time is in the future",
        "u1,t1,9999-12-31 23:59:59": "listen_time is in the future",
        HEADER: "repeated header",
        f"\ufeff{HEADER}": "repeated header",
    }
    expected: dict[str, tuple[str, ...]] = {event[0]: event for event in accepted.values()}
    expected |= {line: ("rejected", reason) for line, reason in rejected.items()}
    assert outcomes([*accepted, *rejected]) == expected


def test_blank_lines_are_no_rows() -> None:
    assert judged(["", " \t\x0b\x0c", ",,", " , ,\t", ",,,,,,,", "u,t,2024-06-25 00:00:00"])[1:] == []


def test_a_line_reads_alike_whatever_stands_beside_it() -> None:
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
    file = PinnedFile(0, "file.csv", "pin", 0, HEADER, tuple(HEADER.split(",")), line_per_record=True)

    rows = pa.concat_tables(split_lines(file, "\n".join(lines).encode())).to_pylist()

    found = {row["raw_line"]: row["fault"] or (row["user_id"], row["track_id"], row["listen_time"]) for row in rows}
    expected = {line: read_alone(line) for line in lines if not is_blank(line)}
    assert {line: outcome for line, outcome in found.items() if not is_blank(line)} == expected


def read_alone(line: str) -> str | tuple[str, ...]:
    fields, well_quoted = fields_of(line)
    if not well_quoted:
        return "misplaced quote"
    if is_forbidden(line):
        return "forbidden character"
    return tuple(field.strip(BLANKS) for field in fields) if len(fields) == 3 else "wrong number of fields"


def test_columns_go_by_name_in_any_order_beside_others() -> None:
    (row,) = judged(["2024-06-25 00:00:00,a,u1,b,t1"], "listen_time,comment,user_id,comment,track_id")
    assert (row["user_id"], row["track_id"], row["reason"]) == ("u1", "t1", None)


def test_an_event_belongs_to_its_utc_date() -> None:
    rows = judged(["u,t,2024-06-25 00:00:00", "u,t,2024-06-25 23:59:59"])
    assert {row["listen_date"] for row in rows} == {dt.date(2024, 6, 25)}


def test_all_events_of_a_user_are_in_one_bucket_that_every_version_computes_alike() -> None:
    rows = judged([f"u{number % 50},t{number},2024-06-25 00:00:00" for number in range(500)], buckets=8)
    buckets = {(row["user_id"], row["bucket"]) for row in rows}
    assert len(buckets) == 50
    assert {bucket for _, bucket in buckets} == set(range(8))
    # Files of the store say in which bucket they are: were the hash to change, events would be counted twice.
    assert [dict(buckets)[user] for user in ("u0", "u1", "u2")] == [5, 1, 5]


@pytest.mark.parametrize("field", ["user_id", "track_id", "listen_time"])
def test_the_reason_names_the_missing_field(field: str) -> None:
    good = {"user_id": "u", "track_id": "t", "listen_time": "2024-06-25 10:00:00"}
    (row,) = judged([",".join({**good, field: BLANKS.replace("\r", "").replace("\n", "")}.values())])
    assert row["reason"] == f"{field} is missing"
