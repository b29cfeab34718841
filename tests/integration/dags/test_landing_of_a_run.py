"""What `make run` lands, and what it says of the files that wait already. S3 is real, Airflow is not asked."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from contract import layout
from sandbox import landing, pipeline_run
from sandbox.home import Home
from sandbox.lifecycle import Sandbox
from sandbox.settings import BUCKET
from tests.integration.dags.conftest import Lake

STREAMS = f"{layout.ROOT}/user_streams"


class IdleAirflow:
    """Has no run but those that it is asked for, and these are over at once."""

    def params(self) -> list[str]:
        return []

    def unpause(self) -> None: ...

    def scheduled_run_is_due(self) -> bool:
        return False

    def active_runs(self) -> list[dict[str, Any]]:
        return []

    def trigger(self, _conf: dict[str, Any]) -> dict[str, Any]:
        return {"dag_run_id": "manual__1"}


@pytest.fixture
def sandbox(lake: Lake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterable[tuple[Sandbox, Lake]]:
    lake = Lake(lake.endpoint, lake.s3, lake.producer, BUCKET)
    lake.producer.create_bucket(Bucket=BUCKET)
    monkeypatch.setattr(Sandbox, "start", lambda *_: None)
    monkeypatch.setattr(Sandbox, "aws", lake)
    monkeypatch.setattr(Sandbox, "airflow", IdleAirflow())
    monkeypatch.setattr(pipeline_run, "follow", lambda *_: None)
    monkeypatch.setattr(pipeline_run, "show_outcome", lambda *_: 0)
    yield Sandbox(Home(tmp_path / "home")), lake
    for key in lake.keys(""):
        lake.remove(key)
    lake.producer.delete_bucket(Bucket=BUCKET)


def test_while_a_file_waits_a_plain_run_uses_up_no_day_of_sample_data(
    sandbox: tuple[Sandbox, Lake], capsys: pytest.CaptureFixture[str]
) -> None:
    of_user, lake = sandbox
    lake.put(f"{STREAMS}/evil.csv")

    assert pipeline_run.run(of_user, data=None, params=None) == 0

    assert lake.keys() == [f"{STREAMS}/evil.csv"]
    assert of_user.home.recall(landing.SAMPLE_DAYS) is None
    printed = capsys.readouterr().out
    assert "No new day of sample data lands" in printed
    assert "make remove FILE=user_streams/evil.csv" in printed

    lake.remove(f"{STREAMS}/evil.csv")
    assert pipeline_run.run(of_user, data=None, params=None) == 0
    assert of_user.home.recall(landing.SAMPLE_DAYS) == 1
    assert lake.keys(layout.SONGS)


def test_a_run_of_a_folder_names_what_waits_besides(
    sandbox: tuple[Sandbox, Lake], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of_user, lake = sandbox
    (tmp_path / "mine" / "user_streams").mkdir(parents=True)
    (tmp_path / "mine" / "user_streams" / "a.csv").write_text("corrected")
    for name in ("a.csv", "evil.csv"):
        lake.put(f"{STREAMS}/{name}", "of before")

    assert pipeline_run.run(of_user, data=str(tmp_path / "mine"), params=None) == 0

    assert lake.get(f"{STREAMS}/a.csv") == b"corrected"
    printed = capsys.readouterr().out
    assert "1 file waits from before" in printed
    assert "make remove FILE=user_streams/evil.csv" in printed
    assert of_user.home.recall(landing.LAST_FOLDER) == str(tmp_path / "mine")
