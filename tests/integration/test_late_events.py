"""A second day brings late events of the first and repeats some: both days' tables become exact, whoever reads them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sandbox import warehouse
from sandbox.sample_events import FIRST_DAY
from sandbox.settings import SCHEMA_PREFIX
from tests.integration.conftest import RunningSandbox
from tests.integration.exact_tables import TABLES, assert_exact, sample_day, streams, table


@contextmanager
def analysts_on_every_table(sandbox: RunningSandbox) -> Iterator[Callable[[], list[Any]]]:
    """A view on each staging table and mart, and a session that has read it in a transaction which stays open.

    Yields what these sessions read when asked again: the number of rows of each table.
    """
    tables = [
        *(f"{SCHEMA_PREFIX}_staging.stg_{name}" for name in TABLES),
        *(f"{SCHEMA_PREFIX}_reporting.{name}" for name in TABLES),
    ]
    with ExitStack() as sessions:
        cursors = []
        for number, name in enumerate(tables):
            sandbox.query(f"create view public.view_{number} as select * from {name}")
            sessions.callback(sandbox.query, f"drop view public.view_{number}")
            connection = warehouse.connection(sandbox.sandbox.home, sandbox.sandbox.ports)
            cursors.append(sessions.enter_context(connection).cursor())
            cursors[-1].execute("begin")

        def read() -> list[Any]:
            for cursor, name in zip(cursors, tables, strict=True):
                cursor.execute(f"select count(*) from {name}")
            return [cursor.fetchall() for cursor in cursors]

        yield read


def test_two_days_with_late_and_repeated_events_are_exact(sandbox: RunningSandbox, tmp_path: Path) -> None:
    sandbox.empty()
    first, second = sample_day(tmp_path / "1", 0), sample_day(tmp_path / "2", 1)

    sandbox.land(first)
    run = sandbox.run()
    assert run.state == "success", run.errors
    expected = assert_exact(sandbox, first)

    sandbox.land(streams(second))
    with analysts_on_every_table(sandbox) as read:
        before = read()
        run = sandbox.run()
        assert run.state == "success", run.errors
        assert read() == before
    both_days = assert_exact(sandbox, first)
    assert both_days.accepted_by_date[FIRST_DAY] > expected.accepted_by_date[FIRST_DAY]
    assert both_days.duplicates > expected.duplicates

    untouched = table(sandbox, "hourly_kpis")
    assert sandbox.run().tasks["end_dag"] == "success"
    assert table(sandbox, "hourly_kpis") == untouched
