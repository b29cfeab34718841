"""The statements that matter, as they reach the warehouse, each in its place between BEGIN and COMMIT.

statements/ holds what a model's session sends. After an intended change, write the files anew and look at their diff:

    REWRITE_STATEMENTS=1 PYTHONPATH=.:dags .venv/bin/python -m pytest tests/integration/dbt_project/test_statements.py
"""

import os
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redshift_connector.core import Connection

from contract.kpi_tables import kpi_table
from tests.integration.dbt_project.conftest import Warehouse
from tests.integration.dbt_project.lake_of_kpis import Batch, LakeOfKpis, genre_level_kpis, hourly_kpis
from tests.warm_dbt import WarmDbt

pytestmark = pytest.mark.sandbox_only("a real cluster does not tell what it was sent, statement by statement")

STATEMENTS = Path(__file__).with_name("statements")
NOON = datetime(2024, 6, 4, 12)  # noqa: DTZ001 - the warehouse's timestamps carry no zone
FIRST = Batch("20240604T000000Z-00000001", NOON)
NEXT = Batch("20240605T000000Z-00000002", NOON + timedelta(days=1))
MODELS = ("stg_genre_level_kpis", "stg_hourly_kpis", "genre_level_kpis", "hourly_kpis")
COMMITTING = re.compile(r"(?:begin|start|commit|end|rollback|abort|truncate|vacuum|alter|create|drop)\b", re.IGNORECASE)

Session = list[str]


@pytest.fixture(scope="module")
def sent() -> dict[str, Session]:
    """What was sent, by file name; filled by the first test that asks for `sessions`."""
    return {}


@pytest.fixture(scope="module")
def dbt(gateway: Connection, environment: pytest.MonkeyPatch) -> Iterator[WarmDbt]:
    """A dbt that grants reading, as production's does; the grants are part of what is parsed."""
    warehouse = Warehouse(gateway)
    warehouse.execute("create role analysts")
    environment.setenv("MUSIC_STREAMS_READER", "role:analysts")
    warm = WarmDbt()
    yield warm
    warm.close()
    environment.delenv("MUSIC_STREAMS_READER")
    warehouse.drop_schemas()
    warehouse.execute("drop role analysts")


@pytest.fixture
def sessions(
    sent: dict[str, Session],
    kpi_lake: LakeOfKpis,
    warehouse: Warehouse,
    dbt: WarmDbt,
    statements: Callable[[], list[dict[str, Any]]],
) -> dict[str, Session]:
    """The sessions of all models, loading a first batch and a next one, in which a genre and an hour have vanished."""
    batches = ((FIRST, {"rock": 1, "jazz": 1}, {7: 1, 8: 1}), (NEXT, {"rock": 3}, {7: 3})) if not sent else ()
    for batch, of_genres, of_hours in batches:
        kpi_lake.write(
            kpi_table("genre_level_kpis").output, batch, genre_level_kpis(batch, {date(2024, 6, 1): of_genres})
        )
        kpi_lake.write(kpi_table("hourly_kpis").output, batch, hourly_kpis(batch, {date(2024, 6, 1): of_hours}))
        for model in MODELS:
            before = len(statements())
            run = dbt("run", "--select", model, batch_id=batch.batch_id)
            assert run.success, run.complaint
            new = statements()[before:]
            (session,) = {entry["session"] for entry in new if f'"model.music_streams.{model}"' in entry["sql"]}
            name = f"{model}.{'first' if batch is FIRST else 'next'}_load.sql"
            sent[name] = [normal(entry["sql"], warehouse.prefix) for entry in new if entry["session"] == session]
            assert all(entry["outcome"] for entry in new if entry["session"] == session)
    return sent


def normal(sql: str, prefix: str) -> str:
    """A statement without what differs from run to run, and without texts that are tested elsewhere."""
    if re.search(r"\b(?:information_schema|svv_\w+|pg_get_\w+|pg_class)\b", sql):
        return "-- dbt-redshift reads the catalogue"
    for what, instead in (
        (re.escape(prefix), "sandbox"),
        (r"__dbt_tmp\d+", "__dbt_tmp"),
        (r'("dbt_version": )"[^"]*"', r'\1"…"'),
        (r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "…"),
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.\d]*(?:Z|\+00:00)?", "…"),
        (r"(\$dbt_comment_literal_block\$).*?(\$dbt_comment_literal_block\$)", r"\1…\2"),
    ):
        sql = re.sub(what, instead, sql, flags=re.DOTALL)
    lines = [line.rstrip() for line in sql.rstrip().rstrip(";").splitlines() if line.strip()]
    return "\n".join(lines).strip() + ";"


def code(statement: str) -> str:
    """The statement without comments."""
    return re.sub(r"/\*.*?\*/|--[^\n]*", "", statement, flags=re.DOTALL).strip()


def position(session: Session, keyword: str) -> int:
    """Where the session's only statement of a kind stands."""
    (found,) = [place for place, statement in enumerate(session) if code(statement).lower().startswith(keyword)]
    return found


def test_the_statements_are_those_that_were_looked_at(sessions: dict[str, Session]) -> None:
    texts = {name: "\n\n".join(session) + "\n" for name, session in sessions.items()}
    if os.environ.get("REWRITE_STATEMENTS"):
        for path in STATEMENTS.glob("*.sql"):
            path.unlink()
        for name, text in texts.items():
            (STATEMENTS / name).write_text(text)
    assert texts == {path.name: path.read_text() for path in STATEMENTS.glob("*.sql")}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("load", ["first", "next"])
def test_a_models_session_is_one_transaction(sessions: dict[str, Session], model: str, load: str) -> None:
    session = sessions[f"{model}.{load}_load.sql"]
    begin, commit = position(session, "begin"), position(session, "commit")
    assert commit == len(session) - 1
    assert [code(statement) for statement in session[:begin]] == ["select pg_backend_pid();"]
    assert not [statement for statement in session if re.match("truncate|rollback|end", code(statement), re.IGNORECASE)]


def test_nothing_that_commits_stands_between_the_delete_and_the_merge(sessions: dict[str, Session]) -> None:
    session = sessions["genre_level_kpis.next_load.sql"]
    lock, delete, merge = (position(session, keyword) for keyword in ("lock", "delete", "merge"))
    assert position(session, "begin") + 1 == lock < delete < merge
    assert not [statement for statement in session[delete + 1 : merge] if COMMITTING.match(code(statement))]


@pytest.mark.parametrize("model", MODELS[:2])
def test_a_copy_fills_the_table_that_is_swapped_in_after_it(sessions: dict[str, Session], model: str) -> None:
    session = sessions[f"{model}.next_load.sql"]
    create, copy, rename = (position(session, keyword) for keyword in ("create", "copy", "alter"))
    assert create + 1 == copy < rename
    drops = [place for place, statement in enumerate(session) if code(statement).startswith("drop")]
    assert [drops[0] + 1, drops[1] + 1] == [create, rename]
    assert session == [
        statement.replace(FIRST.batch_id, NEXT.batch_id) for statement in sessions[f"{model}.first_load.sql"]
    ]
