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
    assert construct.source in refusal


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
