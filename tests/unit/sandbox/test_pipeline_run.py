"""What `make run` says while it waits for another run, and how that one is given up."""

from typing import Any

from sandbox.pipeline_run import give_up, reason_to_wait


def run(run_type: str, **times: str | None) -> dict[str, Any]:
    return {
        "dag_run_id": f"{run_type}__1",
        "run_type": run_type,
        "run_after": "2024-06-26T00:00:00Z",
        "queued_at": None,
        "start_date": None,
        **times,
    }


def test_the_daily_run_of_a_first_start_explains_itself() -> None:
    reason = reason_to_wait(run("scheduled"))
    assert "the daily run that is due (scheduled__1)" in reason
    assert "make cancel" not in reason


def test_a_run_that_was_left_is_shown_for_what_it_is_with_the_word_that_gives_it_up() -> None:
    reason = reason_to_wait(run("manual", start_date="2024-06-26T11:03:59+02:00"))
    assert "DAG run manual__1, begun at 09:03 UTC, goes on" in reason
    assert reason.endswith("press Ctrl-C, then:  make cancel")
    assert "begun at 00:00 UTC" in reason_to_wait(run("manual"))


class Airflow:
    def __init__(self, *active: str) -> None:
        self.active, self.failed = active, list[str]()

    def active_runs(self) -> list[dict[str, Any]]:
        return [{"dag_run_id": run_id} for run_id in self.active]

    def fail(self, run_id: str) -> None:
        self.failed.append(run_id)


def test_all_active_runs_are_given_up() -> None:
    airflow: Any = Airflow("manual__1", "backfill__2")
    assert give_up(airflow) == airflow.failed == ["manual__1", "backfill__2"]
    assert give_up(Airflow()) == []  # type: ignore[arg-type]
