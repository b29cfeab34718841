"""COPY loads exactly what Redshift would load, in the caller's transaction, or nothing."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from tests.integration.sandbox.redshift.client import error, run
from tests.integration.sandbox.redshift.conftest import Lake

ROLE = "iam_role 'arn:aws:iam::123456789012:role/copy'"


def copy_parquet(table: str, manifest: str) -> str:
    return f"copy {table} from '{manifest}' {ROLE} format as parquet manifest"


def copy_csv(table: str, place: str, options: str = "") -> str:
    return f"copy {table} from '{place}' {ROLE} format as csv {options}"


@pytest.fixture
def plays(session: Any) -> Any:
    """A session with an empty, committed table `plays (track varchar(8), plays bigint)`."""
    run(session, "create table plays (track varchar(8), plays bigint)")
    session.commit()
    return session


def play_file(lake: Lake, name: str = "part-0.parquet", tracks: tuple[str | None, ...] = ("a", "b")) -> str:
    return lake.put_parquet(
        name, {"track": pa.array(tracks, pa.string()), "plays": pa.array(range(len(tracks)), pa.int64())}
    )


def test_all_files_of_a_manifest_are_loaded(plays: Any, lake: Lake) -> None:
    run(plays, copy_parquet("plays", lake.put_manifest(play_file(lake, "1"), play_file(lake, "2", ("ć", None)))))
    assert run(plays, "select track, plays from plays order by plays, track") == [
        ("a", 0),
        ("ć", 0),
        ("b", 1),
        (None, 1),
    ]
    assert run(plays, "select pg_last_copy_count()") == [(4,)]


def test_parquet_columns_are_mapped_by_position_whatever_their_names(plays: Any, lake: Lake) -> None:
    file = lake.put_parquet("f", {"plays": pa.array(["x"]), "track": pa.array([7], pa.int64())})
    run(plays, copy_parquet("plays", lake.put_manifest(file)))
    assert run(plays, "select track, plays from plays") == [("x", 7)]


def test_every_type_of_the_kpis_arrives_as_it_was(session: Any, lake: Lake) -> None:
    moment = datetime(2024, 6, 25, 23, 59, 59, 123456, UTC)
    text = 'quotes " and, commas\nline breaks \\. \\N é \U0001f3b5'
    file = lake.put_parquet(
        "f",
        {
            "d": pa.array([date(2024, 6, 25), None]),
            "h": pa.array([23, None], pa.int16()),
            "n": pa.array([2**63 - 1, None], pa.int64()),
            "x": pa.array([1 / 3, None], pa.float64()),
            "s": pa.array([text, ""]),
            "micros": pa.array([moment, None], pa.timestamp("us", tz="UTC")),
            "int96": pa.array([moment.replace(tzinfo=None), None], pa.timestamp("ns")),
        },
    )
    run(session, "create table t (d date, h smallint, n bigint, x float8, s varchar(64), m timestamp, i timestamp)")
    run(session, copy_parquet("t", lake.put_manifest(file)))
    naive = moment.replace(tzinfo=None)
    assert run(session, "select * from t order by d") == [
        (date(2024, 6, 25), 23, 2**63 - 1, 1 / 3, text, naive, naive),
        (None, None, None, None, "", None, None),
    ]


@pytest.mark.parametrize("columns", [{"track": ["a"]}, {"track": ["a"], "plays": [1], "more": [1]}])
def test_another_number_of_columns_is_an_error(plays: Any, lake: Lake, columns: dict[str, Any]) -> None:
    message = error(plays, copy_parquet("plays", lake.put_manifest(lake.put_parquet("f", columns))))
    assert (
        f"Unmatched number of columns between table and file. Table columns: 2, Data columns: {len(columns)}" in message
    )


@pytest.mark.parametrize(
    ("sql_type", "values"),
    [
        ("bigint", pa.array([1], pa.int32())),
        ("smallint", pa.array([1], pa.int32())),
        ("bigint", pa.array(["1"])),
        ("varchar(8)", pa.array([1], pa.int64())),
        ("date", pa.array([datetime(2024, 6, 25)], pa.timestamp("us"))),  # noqa: DTZ001
        ("double precision", pa.array([1.0], pa.float32())),
        ("timestamp", pa.array([date(2024, 6, 25)])),
    ],
)
def test_another_type_is_an_error_that_names_the_column(session: Any, lake: Lake, sql_type: str, values: Any) -> None:
    run(session, f"create table t (value {sql_type})")
    message = error(session, copy_parquet("t", lake.put_manifest(lake.put_parquet("f", {"v": values}))))
    assert "has an incompatible Parquet schema for column 'value'" in message


def test_varchar_counts_bytes_not_characters(plays: Any, lake: Lake) -> None:
    run(plays, copy_parquet("plays", lake.put_manifest(play_file(lake, "4-times-2", ("éééé",)))))
    plays.commit()
    message = error(plays, copy_parquet("plays", lake.put_manifest(play_file(lake, "5-times-2", ("a", "ééééé")))))
    assert "column track is longer than the length defined in the table. Table: 8, Data: 10" in message
    plays.rollback()
    assert "Table: 8, Data: 10" in error(plays, copy_csv("plays", lake.put("f.csv", "ééééé,1\n".encode())))


def test_a_copy_that_is_rolled_back_leaves_nothing(plays: Any, lake: Lake) -> None:
    run(plays, copy_parquet("plays", lake.put_manifest(play_file(lake))))
    assert run(plays, "select count(*) from plays") == [(2,)]
    plays.rollback()
    assert run(plays, "select count(*) from plays") == [(0,)]


def test_a_copy_in_a_transaction_that_fails_later_leaves_nothing(plays: Any, lake: Lake) -> None:
    run(plays, copy_parquet("plays", lake.put_manifest(play_file(lake))))
    error(plays, "select 1 / 0")
    plays.commit()
    assert run(plays, "select count(*) from plays") == [(0,)]


def test_a_failing_copy_aborts_the_transaction(plays: Any, lake: Lake) -> None:
    run(plays, "insert into plays values ('x', 1)")
    error(plays, copy_parquet("plays", lake.put_manifest(play_file(lake, tracks=("much too long",)))))
    assert error(plays, "select 1").startswith("25P02")
    assert error(plays, copy_parquet("plays", lake.put_manifest(play_file(lake)))).startswith("25P02")
    plays.commit()
    assert run(plays, "select count(*) from plays") == [(0,)]


def test_without_a_transaction_a_copy_is_all_or_nothing(plays: Any, lake: Lake) -> None:
    plays.autocommit = True
    good, bad = play_file(lake, "1"), play_file(lake, "2", ("much too long",))
    error(plays, copy_parquet("plays", lake.put_manifest(good, bad)))
    assert run(plays, "select count(*) from plays") == [(0,)]
    run(plays, copy_parquet("plays", lake.put_manifest(good)))
    assert run(plays, "select count(*) from plays") == [(2,)]


def test_a_copy_sees_the_table_of_its_own_transaction(session: Any, lake: Lake) -> None:
    run(session, "create table beside (track varchar(8), plays bigint not null)")
    run(session, copy_parquet("beside", lake.put_manifest(play_file(lake))))
    run(session, "alter table beside rename to plays")
    session.commit()
    assert run(session, "select count(*) from plays") == [(2,)]


def test_not_null_is_enforced(session: Any, lake: Lake) -> None:
    run(session, "create table t (track varchar(8) not null, plays bigint)")
    message = error(session, copy_parquet("t", lake.put_manifest(play_file(lake, tracks=("a", None)))))
    assert message == "23502: Cannot insert a NULL value into column track"


def test_the_same_copy_text_can_be_run_again(plays: Any, lake: Lake) -> None:
    copy = copy_parquet("plays", lake.put_manifest(play_file(lake)))
    for _ in range(3):
        run(plays, copy)
    assert run(plays, "select count(*) from plays") == [(6,)]


def test_a_missing_mandatory_file_is_an_error_that_names_it(plays: Any, lake: Lake) -> None:
    here, missing = play_file(lake), f"s3://lake/{lake.folder}/missing"
    entries = [{"url": url, "mandatory": True, "meta": {"content_length": lake.size(here)}} for url in (here, missing)]
    message = error(plays, copy_parquet("plays", lake.put("m", json.dumps({"entries": entries}).encode())))
    assert "S3ServiceException" in message
    assert "NoSuchKey" in message
    assert missing in message


@pytest.mark.parametrize("mandatory", [{}, {"mandatory": False}])
def test_a_file_whose_absence_redshift_would_not_mention_is_refused(
    plays: Any, lake: Lake, mandatory: dict[str, bool]
) -> None:
    file = play_file(lake)
    entry = {"url": file, "meta": {"content_length": lake.size(file)}} | mandatory
    message = error(plays, copy_parquet("plays", lake.put("m", json.dumps({"entries": [entry]}).encode())))
    assert f"{file} is not mandatory" in message


def test_a_file_of_another_size_than_the_manifest_says_is_an_error(plays: Any, lake: Lake) -> None:
    file = play_file(lake)
    manifest = lake.put_manifest(file)
    play_file(lake, tracks=("a", "b", "c", "d"))
    assert "meta.content_length" in error(plays, copy_parquet("plays", manifest))


def test_a_parquet_manifest_needs_content_lengths(plays: Any, lake: Lake) -> None:
    manifest = lake.put("m", json.dumps({"entries": [{"url": play_file(lake), "mandatory": True}]}).encode())
    assert "lacks meta.content_length" in error(plays, copy_parquet("plays", manifest))


@pytest.mark.parametrize("content", [b"", b"[]", b'{"entries": [1]}', b'{"files": []}', b"\xff", b'{"entries": [{}]}'])
def test_a_broken_manifest_is_an_error_that_names_it(plays: Any, lake: Lake, content: bytes) -> None:
    manifest = lake.put("m", content)
    assert f"{manifest} is no COPY manifest" in error(plays, copy_parquet("plays", manifest))


def test_nothing_to_load_is_an_error(plays: Any, lake: Lake) -> None:
    assert "found nothing to load" in error(plays, copy_parquet("plays", lake.put("m", b'{"entries": []}')))
    plays.rollback()
    nowhere = f"s3://lake/{lake.folder}/nowhere"
    assert f"found nothing to load: {nowhere}" in error(plays, copy_csv("plays", nowhere))
    plays.rollback()
    assert "NoSuchKey" in error(plays, copy_parquet("plays", nowhere))
    plays.rollback()
    assert "NoSuchBucket" in error(plays, copy_csv("plays", "s3://no-such-bucket/x"))


def test_what_is_no_parquet_is_an_error_that_names_the_file(plays: Any, lake: Lake) -> None:
    file = lake.put("f", b"track,plays\na,1\n")
    assert f"COPY cannot load {file}" in error(plays, copy_parquet("plays", lake.put_manifest(file)))


def test_csv_with_header_quotes_and_line_breaks(plays: Any, lake: Lake) -> None:
    content = 'track,plays\r\n"a,b",1\r\n"c""d",2\r\n"e\nf",\r\n,4\r\n'
    run(plays, copy_csv("plays", lake.put("f.csv", content.encode()), "ignoreheader as 1"))
    assert run(plays, "select track, plays from plays order by plays") == [
        ("a,b", 1),
        ('c"d', 2),
        ("", 4),
        ("e\nf", None),
    ]


def test_csv_by_prefix_skips_every_files_header(plays: Any, lake: Lake) -> None:
    lake.put("csv/1", b"track,plays\na,1\n")
    lake.put("csv/2", b"track,plays\nb,2")
    lake.put("csv/3", b"track,plays\n")
    lake.put("csv/4", b"")
    lake.put("csv-other", b"no header, nor to be loaded")
    run(plays, copy_csv("plays", f"s3://lake/{lake.folder}/csv/", "ignoreheader 1"))
    assert run(plays, "select track, plays from plays order by plays") == [("a", 1), ("b", 2)]


@pytest.mark.parametrize("line", [b"a\n", b"a,1,2\n", b"a,x\n", b"a,1.5\n", b"\xff,1\n"])
def test_a_csv_line_that_does_not_fit_is_an_error(plays: Any, lake: Lake, line: bytes) -> None:
    error(plays, copy_csv("plays", lake.put("f.csv", b"a,1\n" + line)))
    plays.rollback()
    assert run(plays, "select count(*) from plays") == [(0,)]


def test_csv_dates_and_times_have_the_default_format_unless_options_name_another(session: Any, lake: Lake) -> None:
    run(session, "create table t (d date, m timestamp)")
    run(session, copy_csv("t", lake.put("1", b"2024-06-25,2024-06-25 17:43:13.123456\n,\n")))
    iso = lake.put("2", b"2024-06-25,2024-06-25T17:43:13\n")
    session.commit()
    assert "2024-06-25T17:43:13" in error(session, copy_csv("t", iso))
    session.rollback()
    run(session, copy_csv("t", iso, "timeformat 'auto' dateformat as 'auto'"))
    assert run(session, "select count(*), count(d), count(m) from t") == [(3, 2, 2)]


def test_a_csv_manifest_needs_no_content_lengths(plays: Any, lake: Lake) -> None:
    file = lake.put("f.csv", b"a,1\n")
    manifest = lake.put("m", json.dumps({"entries": [{"url": file, "mandatory": True}]}).encode())
    run(plays, copy_csv("plays", manifest, "manifest"))
    assert run(plays, "select track, plays from plays") == [("a", 1)]


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("copy plays from 's3://lake/x' format as parquet", "IAM_ROLE"),
        ("copy plays from 's3://lake/x' iam_role 'me' format as parquet", "COPY's IAM_ROLE cannot be 'me'"),
        ("copy plays from 's3://lake/x' credentials 'aws_iam_role=x' csv", "CREDENTIALS"),
        ("copy plays from 's3://lake/x' iam_role default", "FORMAT"),
        ("copy plays from 's3://lake/x' iam_role default format as json 'auto'", "FORMAT cannot be 'json'"),
        (
            "copy plays from 's3://lake/x' iam_role default format as parquet ignoreheader 1",
            "IGNOREHEADER argument is not",
        ),
        ("copy plays from 's3://lake/x' iam_role default format parquet maxerror 5", "MAXERROR"),
        ("copy plays from 's3://lake/x' iam_role default format csv gzip", "GZIP"),
        (
            "copy plays from 's3://lake/x' iam_role default format csv ignoreheader many",
            "IGNOREHEADER cannot be 'many'",
        ),
        ("copy plays from 's3://lake/x' iam_role default format csv timeformat 'YYYY'", "TIMEFORMAT"),
        ("copy plays from '/etc/passwd' csv", "only COPY table FROM 's3://…'"),
        ("copy plays from stdin", "only COPY table FROM 's3://…'"),
        ("copy plays from program 'id'", "only COPY table FROM 's3://…'"),
        ("copy plays to '/tmp/x'", "only COPY table FROM 's3://…'"),
        ("copy (select 1) to stdout", "only COPY table FROM 's3://…'"),
        ("copy plays (artist) from 's3://lake/x' iam_role default format csv", "only COPY table FROM 's3://…'"),
        ("copy nothing from 's3://lake/x' iam_role default format csv", "does not exist"),
    ],
)
def test_an_unknown_copy_is_refused_inside_the_transaction(plays: Any, statement: str, reason: str) -> None:
    run(plays, "insert into plays values ('x', 1)")
    assert reason in error(plays, statement)
    assert error(plays, "select 1").startswith("25P02")


def test_a_large_file_is_loaded_in_pieces(plays: Any, lake: Lake) -> None:
    rows = 100_000
    columns = {"track": pa.array([str(i) for i in range(rows)]), "plays": pa.array(range(rows), pa.int64())}
    run(plays, copy_parquet("plays", lake.put_manifest(lake.put_parquet("f", columns))))
    assert run(plays, "select count(*), sum(plays), count(distinct track) from plays") == [
        (rows, rows * (rows - 1) // 2, rows)
    ]


def test_the_log_holds_the_copy_as_it_was_sent(
    plays: Any, lake: Lake, statements: Callable[[], list[dict[str, Any]]]
) -> None:
    copy = copy_parquet("plays", lake.put_manifest(play_file(lake)))
    run(plays, copy)
    bad = copy.replace("manifest.json", "missing.json")
    error(plays, bad)
    logged = {entry["sql"]: entry for entry in statements()}
    assert logged[copy]["outcome"] == "COPY"
    assert logged[bad]["outcome"] is None
    assert "NoSuchKey" in logged[bad]["error"]
