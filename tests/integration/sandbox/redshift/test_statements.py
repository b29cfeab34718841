"""Statements mean on the gateway what they mean on Redshift; what is not known there fails loudly."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from redshift_connector.error import ProgrammingError
from redshift_connector.interval import Interval

from sandbox.redshift.not_in_redshift import CONSTRUCTS
from sandbox.redshift.warehouse import Warehouse
from tests.integration.sandbox.redshift.client import connect, error, run
from tests.integration.sandbox.redshift.conftest import PASSWORD


def test_keys_are_informational_but_a_primary_key_is_not_null(session: Any) -> None:
    run(session, "create table genres (genre varchar(16) primary key)")
    run(
        session,
        """
        create table kpis (
            day date, genre varchar(16) references genres (genre), plays bigint unique encode az64 distkey,
            constraint kpis_key primary key (day, genre), unique (plays),
            foreign key (genre) references genres (genre)
        )
        backup no diststyle key compound sortkey (day, genre)
        """,
    )
    for _ in range(2):
        run(session, "insert into kpis values ('2024-06-25', 'no such genre', 1)")
    assert run(session, "select count(*) from kpis") == [(2,)]
    session.commit()
    assert "kpis_key" in error(session, "insert into kpis values ('2024-06-25', null, 1)")
    session.rollback()
    assert "Cannot insert a NULL value into column genre" in error(session, "insert into genres values (null)")


@pytest.mark.parametrize(
    "attributes",
    [
        "diststyle all",
        "diststyle key distkey (day) compound sortkey(day, plays)",
        "distkey(day) interleaved sortkey (day)",
        "backup no sortkey auto",
        "diststyle even",
    ],
)
def test_table_attributes_are_accepted(session: Any, attributes: str) -> None:
    run(session, f"create table a {attributes} as (select current_date as day, 1 as plays)")
    run(session, f"create temporary table b (day date, plays bigint) {attributes}")
    run(session, "insert into b select day, plays from a")
    assert run(session, "select plays from b") == [(1,)]


def test_types_without_a_size_have_redshifts(session: Any) -> None:
    run(session, "create table t (v varchar, c character varying not null, t text, n numeric, x varchar(max))")
    assert run(
        session,
        "select column_name, character_maximum_length, numeric_precision from information_schema.columns"
        " where table_name = 't' and table_schema = current_schema() order by ordinal_position",
    ) == [("v", 256, None), ("c", 256, None), ("t", 256, None), ("n", None, 18), ("x", 65535, None)]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (
            "'varchar(max) encode az64 sysdate nvl( diststyle all'",
            "varchar(max) encode az64 sysdate nvl( diststyle all",
        ),
        ("'it''s on conflict; returning'", "it's on conflict; returning"),
        ("$$ nvl(sysdate) $$", " nvl(sysdate) "),
        ("1 /* returning nvl( */ + 1 -- on conflict ; truncate", 2),
        ('(select "distkey" from (select 3 as "distkey") as "returning")', 3),
        ("nvl(null, nvl(null, 'x'))", "x"),
        ("7 / 2", 3),
        ("(1.6)::numeric", Decimal(2)),
        ("cast(1.6 as decimal)", Decimal(2)),
        ("1.6::numeric(4,1)", Decimal("1.6")),
        ("len('żółw')", 4),
        ("round(2.0::float8 / 3, 2)", 0.67),
        ("date_trunc('month', '2024-06-25'::date)", datetime(2024, 6, 1)),  # noqa: DTZ001
        ("'a' || null is null", True),
        ('"Mixed Case" from (select 1 as "mixed CASE") as t', 1),
        ("concat('a'::varchar(3), null::varchar(3)) is null and concat('a', 'b') = 'ab'", True),
        ("upper('żółw')", "ŻÓŁW"),
        ("last_day('2024-02-10'::date)", date(2024, 2, 29)),
        ("trunc('2024-02-10 23:59:59'::timestamp)", date(2024, 2, 10)),
        ("dateadd(month, 1, '2024-01-31'::date)", datetime(2024, 2, 29)),  # noqa: DTZ001
        ("dateadd(qtr, -1, '2024-01-31'::timestamp)", datetime(2023, 10, 31)),  # noqa: DTZ001
        ("dateadd( h , 25, '2024-01-31')", datetime(2024, 2, 1, 1)),  # noqa: DTZ001
        ("datediff(year, '2023-12-31', '2024-01-01')", 1),
        ("datediff(quarter, '2023-12-31', '2024-07-01')", 3),
        ("datediff(month, '2024-01-31', '2024-02-01')", 1),
        ("datediff(day, '2024-06-25 23:59:59', '2024-06-26 00:00:00')", 1),
        ("datediff(day, '2024-06-26', '2024-06-24 23:59:59')", -2),
        ("datediff(hour, '2024-06-25 00:59:59', '2024-06-25 01:00:00')", 1),
        ("datediff(min, '2024-06-25 00:00:59', '2024-06-25 00:01:00')", 1),
        ("datediff(seconds, '2024-06-25 00:00:00.9', '2024-06-25 00:00:01.1')", 1),
        ("extract(hour from '2024-06-25 03:00:00'::timestamp) / 2", 1),
        ("extract(dow from '2024-06-23'::date) / 2", 0),
        ("date_part(hour, '2024-06-25 03:00:00'::timestamp) / 2", 1.5),
        ("date_part(dow, '2024-06-23'::date)::int", 0),
        ("convert_timezone('Europe/Warsaw', '2024-06-25 12:00:00')", datetime(2024, 6, 25, 14)),  # noqa: DTZ001
        (
            "convert_timezone('Europe/Warsaw', 'America/New_York', '2024-06-25 12:00:00')",
            datetime(2024, 6, 25, 6),  # noqa: DTZ001
        ),
        ("getdate() - date_trunc('second', getdate()) = interval '0'", True),
        ("sysdate <= dateadd(second, 1, getdate())", True),
        ("(select 'A' < 'a' and 'Z' < 'a' and 'z' < 'é')", True),
        ("getdate() - getdate() as current_timestamp", timedelta(0)),
        ("timestamp '2024-01-03 01:00:00.5' - timestamp '2024-01-01'", timedelta(days=2, seconds=3600.5)),
        ("timestamp '2024-01-01' - timestamp '2024-01-01 00:00:01'", timedelta(seconds=-1)),
        ("interval '2 days'", timedelta(days=2)),
        ("interval '-3 months'", Interval(0, 0, -3)),
        ("interval '1 month' + interval '2 days'", Interval(2 * 86400 * 10**6, 0, 1)),
        ("null::timestamp - getdate()", None),
        (r"'a\tb\\c\'d\101'", "a\tb\\c'dA"),
        (r"regexp_substr('a.b', '\\.b')", ".b"),
        ("regexp_substr('the fox', 'x y')", ""),
        ("regexp_substr('', 'x')", ""),
        ("regexp_substr('the fox', 'FOX', 1, 1, 'i')", "fox"),
        ("regexp_substr('This is a word', 'is a (\\\\w+)', 1, 1, 'e')", "word"),
        ("regexp_substr('aXbX', '.X', 1, 2, 'e')", "bX"),
        ("regexp_substr('abc', 'b', 0) || regexp_substr('abc', 'b', 9)", "b"),
        ("regexp_substr('abc', 'b', 1, 0)", None),
        ("regexp_instr('aXbX', 'X', 1, 2, 1) * 10 + regexp_instr('aXbX', 'a(X)', 1, 1, 0, 'e')", 52),
        ("regexp_count('abcabc', 'B', 0, 'i')", 2),
        ("split_part('a,b', ',', 2) || split_part('a,b', ',', 3)", "b"),
        ("extract(ms from timestamp '2009-09-09 12:08:43.101')", 101),
        ("extract(ms from time '18:25:33.123956')", 123),
        ("extract(us from timestamp '2009-09-21 11:10:03.189717')", 717),
        ("extract(sec from timestamp '2009-09-21 11:10:03.989717')", 3),
        ("date_part(sec, timestamp '2009-09-21 11:10:03.189717')", 3.189717),
        ("extract(decade from timestamp '1999-02-16 20:38:40')", 200),
        ("extract(decade from timestamp '2000-02-16 20:38:40')", 201),
        ("date_part(decs, date '2010-02-16')", 202.0),
        ("extract(century from timestamp '2000-12-16 12:21:13')", 20),
        ("extract(mil from timestamp '2001-12-16 12:21:13')", 3),
        ("extract(weekday from date '2024-06-23')", 0),
        ("extract('year' from timestamptz '1997-12-01 07:37:16 PST')", 1997.0),
        ("extract(timezone_hour from timestamptz '1997-12-01 07:37:16 PST')", 0.0),
        ("extract(day from interval '50 hours')", 2),
        ("'2024-06-25 03:00:55.9'::timestamp::text", "2024-06-25 03:00:55.90"),
        ("cast(timestamp '2024-06-25 03:00:55' as varchar)", "2024-06-25 03:00:55"),
        ("timestamptz '2024-06-25 03:00:55.1+00'::varchar(25)", "2024-06-25 03:00:55.10+00"),
        ("time '01:02:03.456'::text || 'x'", "01:02:03.456x"),
        ("date_trunc('month', '2024-06-25')", datetime(2024, 6, 1)),  # noqa: DTZ001
        ("date_trunc('week', timestamptz '2022-04-30 04:05:06')", datetime(2022, 4, 25)),  # noqa: DTZ001
        ("dateadd(year, 1, '2016-02-29')", datetime(2017, 3, 1)),  # noqa: DTZ001
        ("dateadd(y, -4, '2016-02-29 12:00')", datetime(2012, 2, 29, 12)),  # noqa: DTZ001
        ("dateadd(month, 12, '2016-02-29')", datetime(2017, 2, 28)),  # noqa: DTZ001
        ("dateadd(month, 1, '2008-04-30')", datetime(2008, 5, 30)),  # noqa: DTZ001
        ("dateadd(m, 30, '2008-02-28')", datetime(2008, 2, 28, 0, 30)),  # noqa: DTZ001
        ("dateadd(ms, 1500, '2016-02-29')", datetime(2016, 2, 29, 0, 0, 1, 500000)),  # noqa: DTZ001
        ("dateadd(usecs, 1, date '2016-02-29')", datetime(2016, 2, 29, 0, 0, 0, 1)),  # noqa: DTZ001
        ("dateadd(w, -2, timestamptz '2024-01-15 00:00:00+02')", datetime(2023, 12, 31, 22)),  # noqa: DTZ001
        ("datediff(week, '2009-01-01', '2009-12-31')", 52),
        ("datediff(w, '2019-12-31', '2019-12-27')", -1),
        ("datediff(ms, '2024-06-25', '2024-06-25 00:00:01.5')", 1500),
        ("datediff(us, '2024-06-25 00:00:01', timestamptz '2024-06-25')", -1_000_000),
        ("add_months('2008-04-30', 1)", datetime(2008, 5, 31)),  # noqa: DTZ001
        ("add_months('2008-01-31 12:00', 1)", datetime(2008, 2, 29, 12)),  # noqa: DTZ001
        ("add_months(date '2008-01-15', -1)", datetime(2007, 12, 15)),  # noqa: DTZ001
        ("months_between('1969-01-18', '1969-03-18')", -2.0),
        ("months_between('2014-09-30 01:00', '2014-08-31')", 1.0),
        ("round(months_between('2008-12-25 15:00', '2008-01-21 19:30'), 2)", 11.12),
        ("round(months_between('2008-12-15 15:00', '2008-01-21 19:00'), 2)", 10.8),
        ("charindex('fish', 'dogfish') * 10 + charindex('dog', 'fish')", 40),
        ("""json_extract_path_text('{"f2":{"f3":1},"f4":{"f5":99,"f6":"star"}}', 'f4', 'f6')""", "star"),
        ("""json_extract_path_text('{"f2":{"f3":1}}', 'f2')""", '{"f3":1}'),
        (
            """json_extract_path_text('{"a":[1]}', 'a', '0') is null and json_extract_path_text('{}', 'a') is null""",
            True,
        ),
        ("""json_extract_path_text('{"f2":{"f3":1}', 'f2', true)""", None),
        ("decode(2, 1, 'a', 2, 'b', 'c') || decode(null::int, 1, 'a', null, 'n')", "bn"),
        ("decode(3, 1, 'a')", None),
        ("nvl2(null::int, 'some', 'none') || nvl2(1, 'some', 'none')", "nonesome"),
    ],
)
def test_expressions_have_redshifts_value(session: Any, expression: str, value: object) -> None:
    assert run(session, f"select {expression}") == [(value,)]


@pytest.mark.parametrize("kind", ["smallint", "int", "bigint"])
def test_the_average_of_integers_is_an_integer(session: Any, kind: str) -> None:
    run(session, f"create table t as (select 1::{kind} as i union all select 2::{kind} union all select null)")
    assert run(session, "select avg(i), avg(distinct i) from t") == [(1, 1)]
    assert run(session, "select avg(i) over () from t") == [(1,), (1,), (1,)]
    assert run(session, "select median(i), median(i * 1.5), median(i::float8) from t") == [(1.5, 2.25, 1.5)]
    assert run(session, "select avg(i::float8), avg(i::numeric(4,2)), avg(1.0 * i) from t") == [
        (1.5, Decimal("1.5"), Decimal("1.5"))
    ]
    assert run(session, "select avg(i), avg(i::float8) from t where i > 2") == [(None, None)]


def test_the_width_of_a_varchar_counts_bytes(session: Any) -> None:
    run(session, "create table t (v varchar(4))")
    run(session, "alter table t add column w character varying(2)")
    run(session, "insert into t values (%s, 'ż'), (null, null), ('abc     ', '')", "żó")
    assert run(session, "select octet_length(v), octet_length(w) from t order by v") == [(4, 0), (4, 2), (None, None)]
    session.commit()
    for too_long in ("insert into t values ('żół')", "update t set w = 'żó'", "insert into t select 'abcde'"):
        assert error(session, too_long).startswith("22001")
        session.rollback()


def test_what_looks_like_a_refused_construct_and_is_right_works(session: Any) -> None:
    for name in ("t", "u"):
        run(session, f"create table {name} (i int, s varchar(20), d date)")
    session.commit()
    for construct in CONSTRUCTS:
        run(session, construct.accepted)
        session.rollback()


def test_postgresql_takes_every_construct_that_redshift_does_not_which_is_why_there_is_a_list(
    session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("t", "u"):
        run(session, f"create table {name} (i int, s varchar(20), d date)")
    session.commit()
    monkeypatch.setattr("sandbox.redshift.dialect.CONSTRUCTS", ())
    for construct in CONSTRUCTS:
        if not construct.only_redshift:
            run(session, construct.refused)
            session.rollback()


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("select listagg(i, ', ') within group (order by i desc) from t", [("10, 9, 9, 2",)]),
        ("select listagg(distinct i, ',') within group (order by i) from t", [("2,9,10",)]),
        ("select listagg(s) within group (order by i) as list from t", [("cab",)]),
        ("select s, listagg(i, '+') from t where i > 9 or s = 'c' group by s order by s", [("b", "10"), ("c", "2")]),
        ("select listagg(s, ',') from t where i > 10", [(None,)]),
        ("select median(i), median(nullif(i, 10)) from t", [(9, 9)]),
        ("select i, median(i) over (partition by i % 2) from t order by i", [(2, 6), (9, 9), (9, 9), (10, 6)]),
        ("select i, ratio_to_report(i) over () from t order by i limit 1", [(2, 2 / 30)]),
        (
            "select ratio_to_report(sum(i)) over (partition by i % 2) from t group by i order by i",
            [(1 / 6,), (1.0,), (5 / 6,)],
        ),
        ("select approximate count(distinct i) from t", [(3,)]),
        ("select top 2 i from t order by i desc", [(10,), (9,)]),
        ("select i from (select top 2 distinct i from t order by i) as u order by i desc", [(9,), (2,)]),
        ("select i from t minus select 9 minus (select 10)", [(2,)]),
        ("select i from t qualify row_number() over (order by i desc) = 1 order by i", [(10,)]),
        ("select i from (select * from t where false limit 0) as x union all (select 1)", [(1,)]),
    ],
)
def test_queries_of_analysts_have_redshifts_rows(session: Any, query: str, rows: list[tuple[object, ...]]) -> None:
    run(session, "create table t (i int, s varchar(5))")
    run(session, "insert into t values (10, 'b'), (9, null), (9, 'a'), (2, 'c')")
    assert run(session, query) == rows


def test_functions_name_their_columns(session: Any) -> None:
    run(session, "create table t as (select 1 as i)")
    assert run(
        session,
        "select median, listagg, ratio_to_report from ("
        "select median(i), listagg(i), ratio_to_report(sum(i)) over () from t group by i) as x",
    ) == [(1, "1", 1.0)]


def test_a_list_ends_at_65535_bytes(session: Any) -> None:
    run(session, "create table t as (select repeat('ż', 16383) as s union all select repeat('ó', 16384))")
    assert run(session, "select octet_length(listagg(s, ',')) from t") == [(65535,)]
    assert "Result size exceeds LISTAGG limit" in error(session, "select listagg(s, '--') from t")


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("i > 0", "cannot cast type boolean to character varying"),
        ("true", "cannot cast type boolean to character varying"),
        ("null::boolean", "cannot cast type boolean to character varying"),
    ],
)
@pytest.mark.parametrize("kind", ["varchar", "varchar(5)", "text", "char(5)"])
def test_a_boolean_is_no_text(session: Any, expression: str, message: str, kind: str) -> None:
    run(session, "create table t (i int)")
    assert error(session, f"select cast({expression} as {kind}) from t") == f"42846: {message}"


def test_a_varchar_column_is_no_boolean_but_a_literal_is(session: Any) -> None:
    run(session, "create table t (s varchar(5), b boolean)")
    run(session, "insert into t values ('true', 'true')")
    assert run(session, "select b, 'f'::boolean, cast('yes' as bool) from t") == [(True, False, True)]
    session.commit()
    for column in ("s", "s::text", "s::char(5)"):
        assert error(session, f"select {column}::boolean from t") == (
            "42846: cannot cast type character varying to boolean"
        )
        session.rollback()


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("dateadd(fortnight, 1, '2024-01-01')", "datepart fortnight"),
        ("dateadd(decade, 1, '2024-01-01')", "datepart decade"),
        ("dateadd(millis, 1, '2024-01-01')", "datepart millis"),
        ("datediff(dow, '2024-01-01', '2024-01-09')", "datepart dow"),
        ("datediff(week, '2024-06-22', '2024-06-23')", "Sunday or Monday"),
        ("split_part('a,b', ',', -1)", "field position must be greater than zero"),
        ("split_part('a,b', ',', 0)", "field position must be greater than zero"),
        ("regexp_substr('a', 'a', 1, 1, 'p')", "does not know parameters like p"),
        ("regexp_count('a', 'a', 1, 'p')", "does not know parameters like p"),
        ("json_extract_path_text('{}', 'a', 'b', 'c', 'd', 'e', 'f')", "five elements"),
        ("json_extract_path_text('{', 'a', false)", "json"),
        ("median(d) from (select current_date as d) as t", "if Redshift takes it, the sandbox does not"),
        ("1 as a, a + 1 as b", "if Redshift takes it, the sandbox does not"),
        ("'{}'::super", "if Redshift takes it, the sandbox does not"),
        ("no_such_function(1)", "if Redshift takes it, the sandbox does not"),
        ("1 sounds like 2", "if Redshift takes it, the sandbox does not"),
    ],
)
def test_what_cannot_be_followed_fails_with_the_reason(session: Any, expression: str, reason: str) -> None:
    assert reason in error(session, f"select {expression}")


def test_merge_updates_and_inserts(session: Any) -> None:
    run(session, "create table target (k int, v int)")
    run(session, "create temp table source (k int, v int)")
    run(session, "insert into target values (1, 1)")
    run(session, "insert into source values (1, 10), (2, 20)")
    run(
        session,
        "merge into target using source on target.k = source.k when matched then update set v = source.v"
        " when not matched then insert (k, v) values (source.k, source.v)",
    )
    assert run(session, "select k, v from target order by k") == [(1, 10), (2, 20)]


def test_duplicates_in_a_merges_source_are_an_error(session: Any) -> None:
    run(session, "create table target as (select 1 as k, 1 as v)")
    run(session, "create table source as (select 1 as k, 2 as v union all select 1, 3)")
    session.commit()
    merge = (
        "merge into target using source on target.k = source.k when matched then update set v = source.v"
        " when not matched then insert values (source.k, source.v)"
    )
    assert "Found multiple matches to update the same tuple." in error(session, merge)
    session.rollback()
    assert run(session, "select v from target") == [(1,)]


@pytest.mark.parametrize(
    "statement",
    [
        "unload ('select 1') to 's3://lake/x' iam_role default",
        "create external schema s from data catalog database 'd'",
        "create external table s.t (i int)",
        "alter table t append from u",
        "alter table t add constraint k primary key (i)",
        "alter table t alter column i type bigint",
        "create extension hstore",
        "create index i on t (i)",
        "create unique index i on t (i)",
        "create unlogged table u (i int)",
        "create materialized view m as select 1",
        "create function f() returns int language sql as 'select 1'",
        "do $$ begin end $$",
        "copy t from stdin",
        *(construct.refused for construct in CONSTRUCTS),
        "merge into t as target using t as s on target.i = s.i when matched then delete",
        "merge into t using u on t.i = u.i remove duplicates",
        "truncate t cascade",
        "truncate t, u",
        "lock table t in share mode",
        "savepoint s",
        "rollback to savepoint s",
        "commit and chain",
        "prepare transaction 'x'",
        "vacuum full",
        "values (1)",
        "select 1; select 2",
        "no such thing",
    ],
)
def test_what_redshift_or_the_sandbox_does_not_know_is_refused_inside_the_transaction(
    session: Any, statement: str
) -> None:
    run(session, "create table t (i int)")
    run(session, "insert into t values (1)")
    sqlstate, _, message = error(session, statement).partition(": ")
    assert sqlstate in ("0A000", "42601")
    assert message
    assert error(session, "select 1").startswith("25P02")
    session.rollback()
    assert run(session, "select 1") == [(1,)]


@pytest.mark.parametrize("statement", ["vacuum sort only t to 75 percent", "SHOW TABLES FROM SCHEMA dev.s"])
def test_an_unknown_statement_fails_with_its_text(session: Any, statement: str) -> None:
    assert error(session, statement) == f"0A000: the sandbox's warehouse does not know statements like: {statement}"


def test_a_refused_statement_with_values_is_refused_too(session: Any) -> None:
    run(session, "create table t (i int)")
    session.commit()
    with session.cursor() as cursor, pytest.raises(Exception, match="on conflict"):
        cursor.execute("insert into t values (%s) on conflict do nothing", (1,))
    session.rollback()
    assert run(session, "select count(*) from t") == [(0,)]


def test_values_are_bound(session: Any) -> None:
    run(session, "create table t (i bigint, s varchar(10), d date, x float8)")
    run(session, "insert into t values (%s, %s, %s, %s)", 7, "ż;'", date(2024, 6, 25), 0.1)
    assert run(session, "select * from t") == [(7, "ż;'", date(2024, 6, 25), 0.1)]


def test_truncate_commits(open_session: Callable[[], Any]) -> None:
    session, other = open_session(), open_session()
    run(session, "create table t (i int)")
    run(session, "create table u (i int)")
    run(session, "insert into t values (1)")
    session.commit()
    run(session, "insert into u values (1)")
    run(session, "truncate table t")
    session.rollback()
    assert run(other, "select count(*) from t") == [(0,)]
    assert run(other, "select count(*) from u") == [(1,)]


def test_a_truncate_that_fails_aborts_the_transaction(session: Any) -> None:
    assert "42P01" in error(session, "truncate nothing")
    assert error(session, "select 1").startswith("25P02")


def test_a_lock_makes_others_wait_and_see_what_was_committed(open_session: Callable[[], Any]) -> None:
    first, second = open_session(), open_session()
    run(first, "create table t (i int)")
    run(first, "create table u (i int)")
    first.commit()
    run(first, "lock table t, u")
    run(first, "insert into t values (1)")
    run(second, "set statement_timeout to 200")
    second.commit()
    assert error(second, "lock t").startswith("57014")
    second.rollback()
    first.commit()
    run(second, "lock t")
    assert run(second, "select count(*) from t") == [(1,)]


def test_a_transaction_sees_one_snapshot(open_session: Callable[[], Any]) -> None:
    reader, writer = open_session(), open_session()
    run(writer, "create table t (i int)")
    writer.commit()
    assert run(reader, "select count(*) from t") == [(0,)]
    run(writer, "insert into t values (1)")
    writer.commit()
    assert run(reader, "select count(*) from t") == [(0,)]
    reader.commit()
    assert run(reader, "select count(*) from t") == [(1,)]


def test_query_groups_can_be_set_shown_and_reset(session: Any) -> None:
    run(session, "set query_group to 'nightly'")
    assert run(session, "show query_group") == [("nightly",)]
    run(session, "reset query_group")


def test_views_of_both_kinds_can_be_made(session: Any) -> None:
    run(session, "create table t as (select 1 as i)")
    run(session, "create view bound as (select i from t)")
    run(session, "create or replace view late as (select i from t) with no schema binding")
    run(session, "create view bare as select i from t with no schema binding")
    assert run(session, "select * from bound, late, bare") == [(1, 1, 1)]


def test_the_catalogue_has_what_dbt_reads(session: Any, schema: str) -> None:
    run(session, "create table t (s varchar(30))")
    session.commit()
    assert run(session, "select has_table_privilege(current_user, 'svv_table_info', 'SELECT')") == [(True,)]
    assert run(
        session, f'select "database", "table", max_varchar from svv_table_info where "schema" = \'{schema}\''
    ) == [("dev", "t", 30)]
    assert run(session, "select * from pg_catalog.svv_external_columns") == []
    columns = "cols(view_schema name, view_name name, col_name name, col_type varchar, ordinal_position int)"
    assert run(session, f"select * from pg_get_late_binding_view_cols() {columns}") == []


def test_analysts_need_no_schema_names(warehouse: Warehouse) -> None:
    connection = connect(warehouse.port, PASSWORD)
    connection.autocommit = True
    run(connection, "create schema sandbox_reporting")
    run(connection, "create table sandbox_reporting.genre_level_kpis as (select 'rock' as track_genre)")
    assert run(connection, "select * from genre_level_kpis") == [("rock",)]
    run(connection, "drop schema sandbox_reporting cascade")
    connection.close()


def test_dbts_comment_before_a_statement_changes_nothing(session: Any) -> None:
    run(session, '/* {"app": "dbt", "node_id": "model.x; y"} */\n\n  create table t diststyle all as (select 1 as i);')
    run(session, '/* {"app": "dbt"} */ truncate table t;')
    assert run(session, "-- copy\nselect count(*) from t") == [(0,)]


def test_an_empty_statement_does_no_harm(session: Any) -> None:
    with pytest.raises(ProgrammingError, match="query was empty"):
        run(session, "-- nothing at all")
    assert run(session, "select 1") == [(1,)]


def test_the_log_holds_every_statement_its_outcome_and_its_error(
    session: Any, statements: Callable[[], list[dict[str, Any]]]
) -> None:
    run(session, "create table logged (i int) diststyle all")
    run(session, "insert into logged values (1), (2)")
    error(session, "select logged from nowhere")
    session.rollback()
    run(session, "select 'logged' /* twice */")
    run(session, "select 'logged' /* twice */")
    outcomes = [
        (entry["sql"], entry["outcome"], entry["sqlstate"]) for entry in statements() if "logged" in entry["sql"]
    ]
    assert outcomes[-5:] == [
        ("create table logged (i int) diststyle all", "CREATE TABLE", None),
        ("insert into logged values (1), (2)", "INSERT 0 2", None),
        ("select logged from nowhere", None, "42P01"),
        ("select 'logged' /* twice */", "SELECT 1", None),
        ("select 'logged' /* twice */", "SELECT 1", None),
    ]
    assert len({entry["session"] for entry in statements()[-3:]}) == 1
