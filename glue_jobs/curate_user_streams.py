"""Glue job `curate-user-streams`: accept each event of a batch once, keep what is rejected, commit.

The rules that make it exact are 2, 3 and 4 of docs/protocol.md.
"""

import datetime as dt
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, Row, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812 - PySpark's own convention

from glue_jobs.arguments import parse_arguments
from glue_jobs.curated_events import EVENT_KEY, SCHEMA, committed_batch, committed_files, owed_batches, read_events
from glue_jobs.lake import CURATION_RECORD, MANIFEST, REJECTED_RECORD, Bucket
from glue_jobs.session import Session, spark_session
from glue_jobs.stream_records import split_records
from glue_jobs.text import BYTE_ORDER_MARK, FORBIDDEN, blank_as_null, trimmed

JOB_NAME = "curate-user-streams"
ARGUMENTS = (
    "bucket",
    "batch_id",
    "batches_prefix",
    "curated_prefix",
    "quarantine_prefix",
    "max_reject_rate",
    "JOB_RUN_ID",
)

REPEATED_HEADER = "repeated header"
MISPLACED_QUOTE = "misplaced quote"
WRONG_NUMBER_OF_FIELDS = "wrong number of fields"
FORBIDDEN_CHARACTER = "forbidden character"
NOT_A_TIMESTAMP = "listen_time is not a timestamp"
IN_THE_FUTURE = "listen_time is in the future"

LISTEN_TIME_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}$"
TOLERANCE_OF_CLOCKS = dt.timedelta(days=1)

PinnedFile = Mapping[str, Any]

# A field that begins with a quote ends with one. Possessive, and so without backtracking or recursion.
_FIELD = r'(?:"(?:[^"]++|"")*+"|[^",][^,]*+|)'
_WELL_QUOTED = rf"\A(?:{_FIELD},)*+{_FIELD}\z"
# Spark's CSV parser dies of a line with more fields than this; validation takes no line of so many characters.
_MAX_FIELDS = 1_100_000
_CORRUPT = "corrupt_record"
_SHOWN_PINS = 5


@dataclass(frozen=True)
class Job:
    """What this run of the job works on, from its arguments."""

    bucket: Bucket
    batch_id: str
    attempt: str
    batches_prefix: str
    curated_prefix: str
    quarantine_prefix: str
    max_reject_rate: float

    @classmethod
    def of(cls, arguments: Mapping[str, str]) -> "Job":
        """Make it from the values of `ARGUMENTS`."""
        return cls(
            bucket=Bucket(arguments["bucket"]),
            batch_id=arguments["batch_id"],
            attempt=arguments["JOB_RUN_ID"],
            batches_prefix=arguments["batches_prefix"],
            curated_prefix=arguments["curated_prefix"],
            quarantine_prefix=arguments["quarantine_prefix"],
            max_reject_rate=float(arguments["max_reject_rate"]),
        )

    @property
    def folder(self) -> str:
        """The prefix of the batch's records."""
        return f"{self.batches_prefix}/{self.batch_id}"


def missing(column: str) -> str:
    """Return the reject reason of a row without `column`."""
    return f"{column} is missing"


def parse_lines(lines: DataFrame, columns: Sequence[str]) -> DataFrame:
    """Turn lines (source_file, raw_line) into rows: those two, `fault`, and user_id, track_id, listen_time as text.

    `columns` are the names in the header of all these files. Blanks around a field are trimmed; an empty one is null.
    `fault` is the reject reason of a line that is no row of so many fields, else null.
    """
    line = F.col("raw_line")
    fault = F.when(line.contains('"') & ~line.rlike(_WELL_QUOTED), MISPLACED_QUOTE)
    for character in FORBIDDEN:
        fault = fault.when(line.contains(character), FORBIDDEN_CHARACTER)
    # Fields are named by position: a header may repeat the name of a column that nobody needs.
    schema = ", ".join([f"field_{position} string" for position in range(len(columns))] + [f"{_CORRUPT} string"])
    parsed = F.from_csv(
        F.when(fault.isNull(), line),  # what breaks a line may leave the parser unfit for the next
        schema,
        {
            "quote": '"',
            "escape": '"',
            "mode": "PERMISSIVE",
            "columnNameOfCorruptRecord": _CORRUPT,
            "maxColumns": str(_MAX_FIELDS),
        },
    )

    def field(name: str) -> Column:
        text = F.col(f"parsed.field_{columns.index(name)}")
        return F.nullif(trimmed(text), F.lit("")).alias(name)

    return lines.withColumn("parsed", parsed).select(
        "source_file",
        "raw_line",
        F.when(fault.isNotNull(), fault)
        .when(F.col("parsed").isNull() | F.col(f"parsed.{_CORRUPT}").isNotNull(), WRONG_NUMBER_OF_FIELDS)
        .alias("fault"),
        *[field(name) for name in EVENT_KEY],
    )


def judge_rows(rows: DataFrame, header: str, batch_time: dt.datetime) -> DataFrame:
    """Return `rows` with `listen_time` as a timestamp, `listen_date`, and `reason`: null for a good row, else why not.

    `raw_line` stays only where there is a reason. `batch_time` is the one in the manifest: a retry judges alike.
    """
    text = F.col("listen_time")
    time = F.when(text.rlike(LISTEN_TIME_PATTERN) & (text >= "0001"), F.to_timestamp(text, "yyyy-MM-dd HH:mm:ss"))
    latest = (batch_time.astimezone(dt.UTC) + TOLERANCE_OF_CLOCKS).strftime("%Y-%m-%d %H:%M:%S.%f")
    reason = F.when(F.col("raw_line").isin(header, BYTE_ORDER_MARK + header), REPEATED_HEADER).when(
        F.col("fault").isNotNull(), F.col("fault")
    )
    for column in EVENT_KEY:
        reason = reason.when(F.col(column).isNull(), missing(column))
    reason = reason.when(time.isNull(), NOT_A_TIMESTAMP).when(time > F.lit(latest).cast("timestamp"), IN_THE_FUTURE)
    return (
        rows.withColumn("reason", reason)
        .withColumn("listen_time", time)
        .select(
            "source_file",
            F.when(F.col("reason").isNotNull(), F.col("raw_line")).alias("raw_line"),
            "user_id",
            "track_id",
            "listen_time",
            F.when(F.col("reason").isNull(), F.to_date("listen_time")).alias("listen_date"),
            "reason",
        )
    )


def new_events(judged: DataFrame, committed: DataFrame) -> DataFrame:
    """Return the good rows, each event once, that no committed batch holds."""
    return (
        judged.where(F.col("reason").isNull())
        .dropDuplicates(list(EVENT_KEY))
        .join(committed.select(*EVENT_KEY), on=list(EVENT_KEY), how="left_anti")
        .select(*EVENT_KEY, "listen_date")
    )


def without_headers(judged: DataFrame) -> DataFrame:
    """Drop the header of each file; a header that comes again further down stays, as a rejected row."""
    # The shortest is the header itself: one that comes again may have a byte order mark.
    occurrence = F.row_number().over(Window.partitionBy("source_file").orderBy(F.length("raw_line")))
    is_header = F.col("reason").eqNullSafe(REPEATED_HEADER)
    repeated = judged.where(is_header).withColumn("occurrence", occurrence).where("occurrence > 1").drop("occurrence")
    return judged.where(~is_header).unionByName(repeated)


def read_lines(spark: SparkSession, bucket: Bucket, files: Sequence[PinnedFile]) -> DataFrame:
    """Return the lines (source_file, raw_line) of pinned `files`, headers included; blank lines are no rows."""
    source_files = spark.createDataFrame(
        [(bucket.url(file["copy"]), file["key"]) for file in files], "copy string, source_file string"
    )
    plain = [bucket.url(file["copy"]) for file in files if file["line_per_record"]]
    quoted = [(bucket.name, file["copy"], tuple(file["columns"])) for file in files if not file["line_per_record"]]
    parts = []
    if plain:
        parts.append(spark.read.text(plain).select(F.input_file_name().alias("copy"), F.col("value").alias("raw_line")))
    if quoted:
        records = spark.sparkContext.parallelize(quoted, len(quoted)).flatMap(_records_of_quoted_file)
        parts.append(spark.createDataFrame(records, "copy string, raw_line string"))
    return (
        reduce(DataFrame.unionByName, parts)
        .where(blank_as_null(F.col("raw_line")).isNotNull())
        .join(F.broadcast(source_files), "copy")
        .select("source_file", "raw_line")
    )


def _records_of_quoted_file(file: tuple[str, str, tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    bucket_name, copy, columns = file
    bucket = Bucket(bucket_name)
    lines = (line.decode("utf-8-sig" if number == 0 else "utf-8") for number, line in enumerate(bucket.lines(copy)))
    for record in split_records(lines, columns, EVENT_KEY):
        yield bucket.url(copy), record


def judged_rows(spark: SparkSession, bucket: Bucket, manifest: Mapping[str, Any]) -> DataFrame:
    """Return every row of the batch's pinned files, judged.

    The files of one header are read together: columns go by name, while Spark maps a schema by position.
    """
    by_header = defaultdict[tuple[str, ...], list[PinnedFile]](list)
    for file in manifest["files"]:
        by_header[(file["header"].removeprefix(BYTE_ORDER_MARK), *file["columns"])].append(file)
    batch_time = dt.datetime.fromisoformat(manifest["time"])
    groups = [
        judge_rows(parse_lines(read_lines(spark, bucket, files), columns), header, batch_time)
        for (header, *columns), files in by_header.items()
    ]
    return without_headers(reduce(DataFrame.unionByName, groups).persist(StorageLevel.MEMORY_AND_DISK))


def write_events(events: DataFrame, job: Job) -> None:
    """Append `events` to the store, below a prefix of this attempt alone: nobody reads them before the commit."""
    # Few files for a date of few events, many for one of many; only SQL knows this hint with a column.
    balanced = events.sparkSession.sql("select /*+ rebalance(listen_date) */ * from {events}", events=events)
    (
        balanced.withColumns({"batch_id": F.lit(job.batch_id), "attempt": F.lit(job.attempt)})
        .write.partitionBy("listen_date", "batch_id", "attempt")
        .mode("append")
        .parquet(job.bucket.url(job.curated_prefix))
    )


def written_files(spark: SparkSession, job: Job, dates: Iterable[str]) -> list[dict[str, Any]]:
    """Return what this attempt wrote, read back: (key, listen_date, rows) of every file."""
    date_of_key = {
        key: date
        for date in dates
        for key, _ in job.bucket.keys(
            f"{job.curated_prefix}/listen_date={date}/batch_id={job.batch_id}/attempt={job.attempt}/"
        )
    }
    if not date_of_key:
        return []
    events = spark.read.schema(SCHEMA).parquet(*[job.bucket.url(key) for key in date_of_key])
    rows = {row["url"]: row["count"] for row in events.groupBy(F.input_file_name().alias("url")).count().collect()}
    return [
        {"key": key, "listen_date": date, "rows": rows[job.bucket.url(key)]}
        for key, date in sorted(date_of_key.items())
        if job.bucket.url(key) in rows
    ]


def quarantine(rejected: DataFrame, job: Job) -> str:
    """Keep the rejected rows with their reasons, in place of an earlier attempt's; return where."""
    url = job.bucket.url(f"{job.quarantine_prefix}/batch_id={job.batch_id}")
    rejected.select("reason", "source_file", "raw_line").coalesce(1).write.mode("overwrite").json(url)
    return url


def check_reject_rate(counts: Mapping[str, Any], job: Job, kept_in: str) -> None:
    """Stop the batch when its share of rejected rows is above the limit; the counts are kept in any case.

    Raises:
        ValueError: the share is above the limit.
    """
    rejected, read = counts["rows_rejected"], counts["rows_read"]
    if rejected <= job.max_reject_rate * read:
        return
    job.bucket.write_json(
        f"{job.folder}/{REJECTED_RECORD}", {"batch_id": job.batch_id, **counts, "max_reject_rate": job.max_reject_rate}
    )
    raise ValueError(
        f"batch {job.batch_id}: {rejected:,} of {read:,} rows are rejected, more than max_reject_rate "
        f"{job.max_reject_rate} allows ({counts['rejected_by_reason']}); nothing is committed. See {kept_in}, "
        "mend the files and run again, or run with a higher max_reject_rate"
    )


def recompute_dates(bucket: Bucket, curated_prefix: str, recompute: Mapping[str, str] | None) -> set[str]:
    """Return the dates of the asked range that the store has events of."""
    if recompute is None:
        return set()
    stored = {folder.rpartition("listen_date=")[2] for folder in bucket.folders(f"{curated_prefix}/listen_date=")}
    return {date for date in stored if recompute["from"] <= date <= recompute["to"]}


def count_rows(tally: Iterable[Row], files: Sequence[PinnedFile]) -> dict[str, Any]:
    """Return the batch's counts from `tally` (source_file, listen_date, reason, count)."""
    rows_of_file = Counter[str]()
    by_reason = Counter[str]()
    for row in tally:
        rows_of_file[row["source_file"]] += row["count"]
        if row["reason"] is not None:
            by_reason[row["reason"]] += row["count"]
    return {
        "files": [{**file, "rows_read": rows_of_file[file["key"]]} for file in files],
        "rows_read": rows_of_file.total(),
        "rows_rejected": by_reason.total(),
        "rejected_by_reason": dict(sorted(by_reason.items())),
    }


def curate(spark: SparkSession, job: Job, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Write the batch's new events and its rejected rows; return the record that commits them.

    Raises:
        ValueError: too many rows are rejected; they and their counts are kept, nothing else is written.
    """
    counts, curated_files, own_dates = count_rows([], []), list[dict[str, Any]](), set[str]()
    if manifest["files"]:
        judged = judged_rows(spark, job.bucket, manifest)
        tally = judged.groupBy("source_file", "listen_date", "reason").count().collect()
        counts = count_rows(tally, manifest["files"])
        own_dates = {row["listen_date"].isoformat() for row in tally if row["listen_date"] is not None}
        if counts["rows_rejected"]:
            check_reject_rate(counts, job, kept_in=quarantine(judged.where(F.col("reason").isNotNull()), job))
        if own_dates:
            committed = committed_files(job.bucket, job.curated_prefix, job.batches_prefix, own_dates)
            write_events(new_events(judged, read_events(spark, job.bucket, committed)), job)
            curated_files = written_files(spark, job, own_dates)
    accepted_by_date = Counter[str]()
    for file in curated_files:
        accepted_by_date[file["listen_date"]] += file["rows"]
    owed = [owed_id for owed_id in owed_batches(job.bucket, job.batches_prefix) if owed_id != job.batch_id]
    owed_dates = {
        date for owed_id in owed for date in committed_batch(job.bucket, job.batches_prefix, owed_id)["dates"]
    }
    asked_dates = recompute_dates(job.bucket, job.curated_prefix, manifest["recompute"])
    return {
        "batch_id": job.batch_id,
        "attempt": job.attempt,
        "committed_at": dt.datetime.now(dt.UTC).isoformat(),
        **counts,
        "max_reject_rate": job.max_reject_rate,
        "rows_accepted": accepted_by_date.total(),
        "rows_duplicate": counts["rows_read"] - counts["rows_rejected"] - accepted_by_date.total(),
        "accepted_by_date": dict(sorted(accepted_by_date.items())),
        "dates": sorted(own_dates | owed_dates | asked_dates),
        "covers": owed,
        "curated_files": curated_files,
    }


def check_pins(job: Job, manifest: Mapping[str, Any]) -> None:
    """Make sure that the batch's input is there.

    Raises:
        LookupError: a pinned file is gone.
    """
    held = {key for key, _ in job.bucket.keys(f"{job.folder}/")}
    gone = [file for file in manifest["files"] if file["copy"] not in held]
    if gone:
        named = ", ".join(f"{job.bucket.url(file['copy'])} (pinned from {file['key']})" for file in gone[:_SHOWN_PINS])
        raise LookupError(
            f"batch {job.batch_id}: {len(gone):,} of {len(manifest['files']):,} pinned files are gone, so nothing is "
            f"written: {named}{', …' if len(gone) > _SHOWN_PINS else ''}. Put them back, or trigger a new run: it pins "
            "anew what lies in the landing prefix; land there what is missing"
        )


def main(argv: Sequence[str], session: Session = spark_session) -> None:
    """Run the job.

    Raises:
        LookupError: the batch has no manifest, or lacks files that it names.
        ValueError: an argument is missing, or too many rows are rejected.
    """
    job = Job.of(parse_arguments(argv, ARGUMENTS))
    if job.bucket.read_json(f"{job.folder}/{CURATION_RECORD}") is not None:
        print(f"batch {job.batch_id} is committed already: nothing to do")
        return
    manifest = job.bucket.read_json(f"{job.folder}/{MANIFEST}")
    if manifest is None:
        raise LookupError(
            f"{job.bucket.url(job.folder)}/{MANIFEST} is missing: validate_datasets has not passed for {job.batch_id}"
        )
    check_pins(job, manifest)
    with session(JOB_NAME) as spark:
        record = curate(spark, job, manifest)
    if job.bucket.create_json(f"{job.folder}/{CURATION_RECORD}", record):
        counts = {name: value for name, value in record.items() if name.startswith(("rows_", "rejected_", "dates"))}
        print(f"batch {job.batch_id} is committed: {counts}")
    else:
        print(f"batch {job.batch_id} was committed by another attempt meanwhile: what this one wrote does not count")


if __name__ == "__main__":
    main(sys.argv)
