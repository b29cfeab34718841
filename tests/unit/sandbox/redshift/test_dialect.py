"""Redshift's SQL becomes PostgreSQL's outside of literals, quoted names and comments, and nowhere else."""

import pytest

from sandbox.redshift.dialect import translate

REFUSAL = "select pg_catalog.sandbox_refuse("


def words(sql: str) -> str:
    return " ".join(translate(sql).sql.split())


@pytest.mark.parametrize(
    "text",
    [
        "'nvl( sysdate varchar(max) on conflict; returning'",
        "'it''s; nvl('",
        r"E'it\'s; nvl('",
        '"nvl("',
        '"a""nvl("',
        "$$ nvl( ; $$",
        "$tag$ nvl( $$ ; $tag$",
        "'-- nvl('",
        "'/* nvl('",
    ],
)
def test_quoted_text_reaches_postgresql_as_it_is(text: str) -> None:
    assert translate(f"select {text} as x, nvl(1, 2)").sql == f"select {text} as x, coalesce(1, 2)"


@pytest.mark.parametrize(
    ("redshift", "postgresql"),
    [
        (r"'it\'s; nvl('", r"E'it\'s; nvl('"),
        (r"'a\\'", r"E'a\\'"),
        (r"'a''\n'", r"E'a''\n'"),
        (r'"a\n"', r'"a\n"'),
        (r"$$a\n$$", r"$$a\n$$"),
    ],
)
def test_backslashes_escape_in_ordinary_literals_alone(redshift: str, postgresql: str) -> None:
    assert translate(f"select {redshift} as x").sql == f"select {postgresql} as x"


@pytest.mark.parametrize("text", [r"'\x41'", r"'C:\users'", r"E'\\\U0041'"])
def test_an_escape_that_amazon_does_not_describe_is_refused(text: str) -> None:
    assert "what the backslash means" in translate(f"select {text}").sql


@pytest.mark.parametrize("comment", ["-- nvl( ; '\n", '/* on conflict ; " */', "/* it's */ -- returning\n"])
def test_comments_are_blanks(comment: str) -> None:
    assert words(f"{comment}select 1 {comment}, nvl(2, 3)") == "select 1 , coalesce(2, 3)"


def test_placeholders_cannot_be_forged() -> None:
    assert translate("select \x010\x02 from 'x'").sql.startswith(REFUSAL)
    assert translate("select '\x010\x02'").sql == "select '\x010\x02'"


@pytest.mark.parametrize("sql", ["select 1; select 2", "begin; copy t from 's3://x'", "; ; select 1; commit"])
def test_statements_come_one_at_a_time(sql: str) -> None:
    assert "multiple commands" in translate(sql).sql


def test_a_closing_semicolon_is_dropped() -> None:
    assert translate("select ';' ; -- done;").sql == "select ';'"


def test_a_table_loses_what_only_redshift_has() -> None:
    assert (
        words(
            """
            create table "dev"."s"."t" (
                "distkey" bigint encode az64 distkey, backup varchar(max) default 'sortkey' not null, n numeric,
                constraint k primary key ("distkey", backup), unique (n),
                constraint f foreign key (n) references "dev"."s"."u" (n)
            ) backup no diststyle key compound sortkey ("distkey", n);
            """
        )
        == 'create table "dev"."s"."t" ( "distkey" bigint , backup varchar(65535) default \'sortkey\' not null,'
        ' n numeric(18,0), constraint k check (("distkey", backup) is not null) )'
    )


def test_only_the_head_of_a_table_from_a_query_is_edited() -> None:
    query = "select unique_listeners as sortkey, x as encode, 'primary key' from t where backup = no"
    assert words(f"create table t diststyle even sortkey(x) as ( {query} )") == f"create table t as ( {query} )"


def test_columns_named_like_types_keep_their_names() -> None:
    assert words("create table t (text bigint, numeric numeric, varchar int)") == (
        "create table t (text bigint, numeric numeric(18,0), varchar int)"
    )


def test_a_varchar_column_has_its_width_in_bytes() -> None:
    fits = "check (coalesce(octet_length({}), 0) <= {} or pg_catalog.sandbox_too_long())"
    assert words('create table t (i int, "V" character varying(8) not null, text text)') == (
        f'create table t (i int, "v" varchar(8) {fits.format(chr(34) + "v" + chr(34), 8)} not null,'
        f" text varchar(256) {fits.format('text', 256)})"
    )
    assert words("alter table t add column v varchar(3)").endswith(f"varchar(3) {fits.format('v', 3)}")


def test_quoted_names_are_folded_but_for_letters_beyond_ascii() -> None:
    assert words('select "Some Name", "ŻÓŁW a""B" from "T"') == 'select "some name", "ŻÓŁw a""b" from "t"'


@pytest.mark.parametrize(
    ("redshift", "postgresql"),
    [
        (
            "select dateadd( day , -1, d ), DATEDIFF(hour, a, b)",
            "select dateadd('day', -1, d ), DATEDIFF('hour', a, b)",
        ),
        (
            "select x::numeric, x::numeric(3,1), cast(y as decimal)",
            "select x::numeric(18,0), x::numeric(3,1), cast(y as numeric(18,0))",
        ),
        ("set query_group to 'a'", "set redshift.query_group to 'a'"),
        ("create view v as ( select 1 ) with no schema binding;", "create view v as ( select 1 )"),
        ("create view v as select 1 with no schema binding", "create view v as select 1"),
        ("select getdate() as\n sysdate", "select getdate() as sysdate"),
        ("select 1 as a minus (select 2)", "select 1 as a except (select 2)"),
        ("select 1 minus from t", "select 1 minus from t"),
        ("select approximate count(distinct a), approximate from t", "select count(distinct a), approximate from t"),
        ("select top 3 * from t order by a", "select * from t order by a limit 3"),
        (
            "select top 3 a from (select TOP 2 distinct top from t where b in (1)) as u",
            "select a from (select distinct top from t where b in (1) limit 2) as u limit 3",
        ),
        (
            "select distinct a.i, f(s) as u from a where x > 1 qualify rank() over (order by i) < 2 order by u limit 3",
            (
                "select distinct i, u from (select a.i, f(s) as u , ( rank() over (order by i) < 2 )"
                " as sandbox_qualifies from a where x > 1 ) as sandbox_rows where sandbox_qualifies order by u limit 3"
            ),
        ),
        (
            "select decode(a, 1, nvl2(b, (c), d), null, f(2, ','), e)",
            (
                "select case when (a) is not distinct from (1) then case when (b) is not null then (c) else d end"
                " when (a) is not distinct from (null) then f(2, ',') else e end"
            ),
        ),
        (
            "select listagg(distinct a, ', ') within group (order by f(a)) from t",
            "select pg_redshift.listagg(distinct a, ', ' order by f(a)) from t",
        ),
        ("select listagg(a) as median from t", "select pg_redshift.listagg(a, '' ) as median from t"),
        (
            "select ratio_to_report(sum(a)) over (partition by f(b)), c",
            "select pg_redshift.ratio_to_report(sum(a), sum(sum(a)) over (partition by f(b))), c",
        ),
        ("select median(a), median from t", "select pg_redshift.median(array_agg(a)), median from t"),
        (
            "select json_extract_path_text(a, 'b', TRUE), t.decode, \"decode\"(1)",
            "select pg_redshift.json_extract_path_text(TRUE, a, 'b'), t.decode, \"decode\"(1)",
        ),
        ('select avg(i), t.avg, "avg"(1)', 'select pg_redshift.avg(i), t.avg, "avg"(1)'),
        ("select extract( hour from x) from y", "select pg_redshift.date_part('hour', x) from y"),
        ("select sysdate", "select pg_catalog.sysdate()"),
        ("grant select on s.t to role analysts, GROUP bi, ann", "grant select on s.t to analysts, bi, ann"),
        ('revoke usage on schema s from role "analysts"', 'revoke usage on schema s from "analysts"'),
        ("select 1 from role r", "select 1 from role r"),
        ("select invl(1), dateadded(day, 1)", "select invl(1), dateadded(day, 1)"),
    ],
)
def test_edits(redshift: str, postgresql: str) -> None:
    assert words(redshift) == postgresql


@pytest.mark.parametrize("call", ["decode(a, 'hex')", "decode()", "nvl2(a, b)"])
def test_a_wrong_number_of_arguments_is_refused(call: str) -> None:
    assert translate(f"select {call} from t").sql.startswith(REFUSAL)


def test_truncate_commits_and_others_do_not() -> None:
    assert translate('/* dbt */ truncate table "dev"."s"."t"').commits
    assert not translate("delete from t").commits


def test_a_copy_is_an_empty_statement_for_postgresql() -> None:
    statement = translate(
        """
        /* {"app": "dbt"} */
        COPY "dev"."s"."t__dbt_tmp"
        FROM 's3://lake/it''s/manifest.json' IAM_ROLE 'arn:aws:iam::123456789012:role/copy'
        FORMAT AS PARQUET MANIFEST;
        """
    )
    assert statement.sql == ""
    assert statement.copy is not None
    assert statement.copy.table == '"dev"."s"."t__dbt_tmp"'
    assert statement.copy.source == "s3://lake/it's/manifest.json"
    assert statement.copy.parquet
    assert statement.copy.manifest


def test_a_copys_options_come_in_any_order() -> None:
    copy = translate(
        "copy t from 's3://lake/x' timeformat 'auto' ignoreheader as 2 format csv dateformat as 'auto' iam_role default"
    ).copy
    assert copy is not None
    assert (copy.parquet, copy.header_lines, copy.manifest) == (False, 2, False)
    assert copy.automatic_formats == {"timeformat", "dateformat"}


def test_a_refusal_quotes_the_reason_for_postgresql() -> None:
    sql = translate("unload ('select ''x''') to 's3://lake/'").sql
    assert sql.startswith(REFUSAL)
    assert "unload (''select ''''x'''''') to ''s3://lake/''" in sql
    assert sql.endswith("'0A000')")


def test_an_unfinished_quote_is_left_to_postgresql() -> None:
    assert translate("select 'abc").sql == "select 'abc"
