"""The two kernels of curation: judge the rows of pieces of files, and keep the new events of a part of a date."""

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO

import duckdb
import pyarrow as pa

from contract import layout
from contract.bucket import Bucket
from contract.csv_format import BLANKS
from contract.records import CuratedFile, committed_files
from glue_jobs.events import overlapping, select_events
from glue_jobs.kernel import connection, literal, text_of
from glue_jobs.stages import RESULT, Record, decode, encode
from glue_jobs.stream_lines import Piece, rows

ROWS_OF_BLOCK = 50_000  # about a megabyte, as records should be


@dataclass(frozen=True)
class Attempt:
    """One run of the curation job.

    Attributes:
        latest: the last moment that an event of the batch may have, UTC.
        buckets: the number of parts (a power of two) into which each date is cut, by the hash of `user_id`.
    """

    bucket: Bucket
    batch_id: str
    name: str
    latest: dt.datetime
    buckets: int

    @property
    def quarantine(self) -> str:
        """The prefix below which this attempt writes the rows that it rejects."""
        return f"{layout.BatchFolder(self.batch_id).quarantined_rows}/attempt={self.name}"


@dataclass(frozen=True)
class Tally:
    """The number of rows of a file with the same listen date, or the same reason for rejection."""

    file: int
    listen_date: str | None
    reason: str | None
    rows: int


@dataclass(frozen=True)
class PiecesOfTask:
    """The input of the first kernel; `number` names the task and is the same in each of its retries."""

    number: int
    pieces: Sequence[Piece]


def judge(attempt: Attempt, task: PiecesOfTask) -> Iterator[Record]:
    """The first kernel: judge each row; yield the good rows by date and bucket, and the counts.

    It writes rejected rows to quarantine at once, below the attempt's prefix; if a batch has several attempts, its
    records name the one that counts.
    """
    counted = Counter[tuple[int, str | None, str | None]]()
    with connection() as (database, folder), ExitStack() as files:
        rejected: IO[str] | None = None
        for table in rows(attempt.bucket, task.pieces):
            judge_rows(database, table, attempt.latest, attempt.buckets)
            for file, date, reason, count in database.execute(
                "select file, cast(listen_date as varchar), reason, count(*) from judged group by all"
            ).fetchall():
                counted[file, date, reason] += count
            if any(reason for _, _, reason in counted):
                rejected = rejected or files.enter_context((folder / "rejected.json").open("w", encoding="utf-8"))
                _write_rejected(database, task.pieces, rejected)
            yield from _blocks(database)
        if rejected:
            rejected.close()
            attempt.bucket.upload(folder / "rejected.json", f"{attempt.quarantine}/part-{task.number:05d}.json")
    tallies = [(*key, count) for key, count in counted.items()]
    yield RESULT, json.dumps({"tallies": tallies}).encode()


def judge_rows(database: duckdb.DuckDBPyConnection, rows: pa.Table, latest: dt.datetime, buckets: int) -> None:
    """Make the table `judged`: each row with the verdict of judge_rows.sql, its listen date and its bucket."""
    database.register("stream_rows", rows)
    bucket = f"cast(md5_number_lower(user_id) % {buckets} as integer)" if buckets > 1 else "0"
    database.execute(
        f"""
        create or replace temp table judged as
        select
            *,
            cast(listen_time as date) as listen_date,
            case when reason is null then {bucket} end as bucket
        from ({text_of("judge_rows.sql", "contract")})
        """,  # noqa: S608 - texts of our own
        {"blanks": BLANKS, "latest": latest},
    )
    database.unregister("stream_rows")


def _write_rejected(database: duckdb.DuckDBPyConnection, pieces: Sequence[Piece], out: IO[str]) -> None:
    source_files = {piece.file.number: piece.file.key for piece in pieces}
    cursor = database.execute("select reason, file, raw_line from judged where reason is not null")
    while some := cursor.fetchmany(ROWS_OF_BLOCK):
        for reason, file, raw_line in some:
            row = {"reason": reason, "source_file": source_files[file], "raw_line": raw_line}
            out.write(f"{json.dumps(row, ensure_ascii=False)}\n")


def _blocks(database: duckdb.DuckDBPyConnection) -> Iterator[Record]:
    keys = database.execute(
        "select distinct listen_date, bucket from judged where reason is null order by all"
    ).fetchall()
    for date, bucket in keys:
        of_key = database.sql(
            "select user_id, track_id, listen_time from judged "
            "where reason is null and listen_date = $date and bucket = $bucket",
            params={"date": date, "bucket": bucket},
        ).to_arrow_table()
        for first in range(0, len(of_key), ROWS_OF_BLOCK):
            yield f"{date.isoformat()}/{bucket}", encode(of_key.slice(first, ROWS_OF_BLOCK))


def keep_new_events(attempt: Attempt, key: str, blocks: Iterator[bytes]) -> Iterator[Record]:
    """The second kernel: write, once each, the events of a date and bucket that no committed batch holds."""
    listen_date, _, bucket = key.partition("/")
    part = CuratedFile("", listen_date, 0, int(bucket), attempt.buckets)
    with connection() as (database, folder):
        database.execute("create temp table landed (user_id varchar, track_id varchar, listen_time timestamp)")
        for block in blocks:
            database.register("block", decode(block))
            database.execute("insert into landed select * from block")
            database.unregister("block")
        of_date = committed_files(attempt.bucket, [listen_date])
        committed = overlapping(of_date, part.bucket, part.buckets)
        select_events(database, attempt.bucket, folder, committed, name="committed")
        events = folder / "events.parquet"
        (count,) = database.execute(
            f"""
            copy (
                select distinct user_id, track_id, listen_time
                from landed
                anti join committed using (user_id, track_id, listen_time)
            ) to {literal(events)} (format parquet, compression snappy)
            """  # noqa: S608 - a path of our own
        ).fetchone() or (0,)
        if not count:
            return
        target = f"{layout.curated_folder(listen_date, attempt.batch_id, attempt.name)}/part-{part.bucket:05d}.parquet"
        attempt.bucket.upload(events, target)
    entry = {
        "key": target,
        "listen_date": listen_date,
        "rows": count,
        "bucket": part.bucket,
        "buckets": part.buckets,
    }
    yield RESULT, json.dumps({"file": entry, "late": count if of_date else 0}).encode()
