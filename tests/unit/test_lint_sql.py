"""What is not Redshift's SQL is complained about, wherever dbt has left it."""

import json
from pathlib import Path

import pytest

from sandbox.redshift.not_in_redshift import CONSTRUCTS, Construct
from tests import lint_sql

BAD = "select string_agg(x, ',') from t"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """The folder of dbt, with an innocent statement in each place."""
    for name in ("compiled/music_streams/analyses/a.sql", "run/music_streams/models/m.sql"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("select 1;\n")
    (tmp_path / "statements.jsonl").write_text(json.dumps({"sql": "select 1"}) + "\n")
    return tmp_path


def complaints_about(target: Path) -> list[str]:
    return lint_sql.complaints_about(target, target / "statements.jsonl")


def test_sql_of_redshift_is_left_alone(target: Path) -> None:
    assert complaints_about(target) == []


@pytest.mark.parametrize("place", ["compiled/music_streams/analyses/a.sql", "run/music_streams/models/m.sql"])
def test_compiled_sql_is_complained_about_with_its_place(target: Path, place: str) -> None:
    (target / place).write_text(f"drop table if exists t;\n{BAD};")
    (complaint,) = complaints_about(target)
    assert "listagg" in complaint
    assert f"in {place}: drop table if exists t; {BAD}" in complaint


def test_a_sent_statement_is_complained_about(target: Path) -> None:
    with (target / "statements.jsonl").open("a") as log:
        log.write(json.dumps({"sql": BAD}) + "\n")
    (complaint,) = complaints_about(target)
    assert f"in what was sent: {BAD}" in complaint


def test_a_fixture_that_two_unit_tests_wrote_at_once_is_left_out(target: Path) -> None:
    fixture = target / "compiled/music_streams/models/_marts.yml/hourly_kpis.sql"
    fixture.parent.mkdir(parents=True)
    fixture.write_text('\n-- Fixture for hourly_kpis\nselect cast(1 as bigint) as "listen_count"nt) as "listen_count"')
    assert complaints_about(target) == []


@pytest.mark.parametrize("missing", ["compiled", "statements"])
def test_nothing_to_look_at_is_a_complaint(target: Path, missing: str) -> None:
    if missing == "statements":
        (target / "statements.jsonl").write_text("")
    else:
        for path in target.rglob("*.sql"):
            path.unlink()
    assert "no SQL" in complaints_about(target)[0]


@pytest.mark.parametrize(
    "sql",
    [
        "selec 1",
        "start the press",
        "select 1 +",
        "lock table t in share mode",
        "lock table t nowait",
        "grant select on t to reader with hierarchy option",
        "vacuum t",
        "create index i on t using gin (x)",
        "do $$ begin end $$",
        "copy t from 's3://lake/x' iam_role default format csv freeze",
        "copy t from stdin",
        "alter table t set (autovacuum_enabled = false)",
        "show all tables",
        "merge into t using u on t.i = u.i when matched then delete",
    ],
)
def test_what_is_no_statement_of_redshift_is_complained_about(sql: str) -> None:
    assert list(lint_sql.complaints(sql))


@pytest.mark.parametrize("construct", CONSTRUCTS, ids=[construct.refused for construct in CONSTRUCTS])
def test_the_list_of_constructs_is_the_gateways(construct: Construct) -> None:
    assert list(lint_sql.complaints(construct.refused))
    assert not list(lint_sql.complaints(construct.accepted))


@pytest.mark.parametrize("form", lint_sql.FORMS, ids=[form.example for form in lint_sql.FORMS])
def test_each_exception_is_needed_and_fits_the_whole_statement(
    form: lint_sql.Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert form.source.startswith("https://docs.aws.amazon.com/redshift/latest/dg/")
    assert not list(lint_sql.complaints(f"/* dbt */ {form.example};".upper()))
    assert list(lint_sql.complaints(f"{form.example} and more"))
    monkeypatch.setattr(lint_sql, "FORMS", ())
    assert list(lint_sql.complaints(form.example))
