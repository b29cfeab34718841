"""Every construct of the list is refused, and what looks alike but is right is not."""

import re

import pytest

from sandbox.redshift import dialect
from sandbox.redshift.dialect import translate
from sandbox.redshift.not_in_redshift import CONSTRUCTS, Construct

REFUSAL = "select pg_catalog.sandbox_refuse("

each_construct = pytest.mark.parametrize("construct", CONSTRUCTS, ids=[construct.refused for construct in CONSTRUCTS])


@each_construct
def test_it_is_refused_with_the_reason_and_where_amazon_says_so(
    construct: Construct, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialect, "CONSTRUCTS", (construct,))  # so that no other one steps in
    refusal = translate(construct.refused).sql
    assert refusal.startswith(REFUSAL)
    assert construct.says.replace("'", "''") in refusal
    assert ("Only Redshift takes" in refusal) is construct.only_redshift
    assert construct.source in refusal


@pytest.mark.parametrize(
    "sql",
    [
        "select i + 1 from t qualify row_number() over (order by i) = 1",
        "select i, row_number() over (order by i) as n from t qualify n = 1",
        "select top 2 i from t qualify row_number() over (order by i) = 1",
        "select i from t where j in (select * from u qualify rank() over (order by k) = 1)",
    ],
)
def test_a_qualify_that_no_subquery_expresses_exactly_is_refused_by_name(sql: str) -> None:
    assert "Only Redshift takes `qualify" in translate(sql).sql


@each_construct
def test_what_looks_alike_passes(construct: Construct) -> None:
    assert not translate(construct.accepted).sql.startswith(REFUSAL)


@each_construct
def test_upper_case_blanks_and_lines_do_not_hide_it(construct: Construct) -> None:
    disguised = re.sub(r"(?<![<>=!~|:@-]) (?![<>=!~|:@-])", " /* x */\n\t", construct.refused).upper()
    assert translate(disguised).sql.startswith(REFUSAL)


@each_construct
def test_quoted_it_is_no_construct(construct: Construct) -> None:
    quoted = construct.refused.replace("'", "''")
    assert not translate(f"select '{quoted}' as example").sql.startswith(REFUSAL)


@each_construct
def test_its_source_is_a_page_of_redshifts_documentation(construct: Construct) -> None:
    assert re.fullmatch(r"https://docs\.aws\.amazon\.com/redshift/latest/dg/[\w-]+\.html", construct.source)


def test_only_the_definition_of_a_table_is_searched_for_what_is_wrong_there_alone() -> None:
    assert translate("create table a as select i as x from t join u using (i)").sql.endswith("using (i)")
    assert translate("create table a (i int) using heap").sql.startswith(REFUSAL)


@pytest.mark.parametrize(
    "sql",
    [
        "((select i from t limit 1)) union select 2",
        "select 1 as i union ((select i from t where f(g(h(i))) = 1 order by i limit 1 offset 1))",
        "with a as (select 1 as i) (select i from a limit 1) except select 2",
        "create table u as (select i from t limit 1) intersect (select 2)",
        "select top 3 i from t union select 2",
        "select 1 as i union all select top 3 i from t",
        "select * from (select 1 as i minus (select top 3 i from t)) as x",
        "select i from t minus all select 2",
        "select sum(i) over (partition by s, 'a') from t",
        "select sum(i) over (order by d, null::date rows unbounded preceding) from t",
        "select sum(i) over (partition by (f(i)), true order by d rows 1 preceding) from t",
        "select lead(f(g(i), 1), 1, nvl(i, 0)) over (order by d) from t",
        "select distinct (i, s) from t",
        "select to_timestamp(f(i, 1)) from t",
        "select * exclude (i) from t",
        "select * from t pivot (sum(i) for s in ('a'))",
        "select i from t connect by i = prior i",
        "select last_value(i ignore nulls) over (order by d rows unbounded preceding) from t",
        "select percentile_cont(0.5) within group (order by i) over (partition by s) from t",
        "select approximate percentile_disc(0.5) within group (order by i) from t",
    ],
)
def test_its_other_forms_are_refused_too(sql: str) -> None:
    assert translate(sql).sql.startswith(REFUSAL)


@pytest.mark.parametrize(
    "sql",
    [
        "select i from (select * from t where false limit 0) as x union all select i from (select 1 limit 0) as y",
        "(select i from (select i from t limit 1) as x) union (select 2)",
        "select i from t where i in (select i from t limit 1) union select 2 order by i limit 1",
        "with a as (select i from t limit 1), b as (select 2) select * from a union all select * from b",
        "select * from (select 1 union select 2) as x limit 1",
        "select f((select i from t limit 1)) as top union select 2",
        "select row_number() over (order by i) from t order by 1, 'a'",
        "select sum(i) over (partition by 'a' || s, i + 1 order by d rows 1 preceding) from t",
        'select sum(i) over (partition by "1" order by d rows between 1 preceding and 1 following) from t',
        "select current_database() as now, min(i) as xmax, max(i) as tablesample from t",
        "select lag(f(i, 1)) over (order by d), g(1, 2, 3) from t",
    ],
)
def test_what_only_looks_like_another_form_passes(sql: str) -> None:
    assert not translate(sql).sql.startswith(REFUSAL)
