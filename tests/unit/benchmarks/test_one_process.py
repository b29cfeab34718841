"""The DuckDB process that the jobs are measured by computes what docs/kpis.md says."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.contestants import run_one_process
from sandbox.sample_catalogue import Catalogue
from sandbox.sample_events import FIRST_DAY, write_sample_day
from tests import oracle


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day of few users, so that tracks, artists and age groups are often tied."""
    folder: Path = tmp_path_factory.mktemp("benchmark") / "landed"
    write_sample_day(folder, FIRST_DAY, events=20_000, catalogue=Catalogue(songs=2_000, users=300))
    return folder


def test_its_results_are_those_of_the_oracle(landed: Path) -> None:
    _, results = run_one_process(landed, landed.parent)
    streams = [(file.name, file.read_bytes()) for file in sorted(landed.glob("user_streams/*.csv"))]
    songs, users = ((landed / name).read_bytes() for name in ("songs.csv", "users.csv"))
    expected = oracle.expected_tables(songs, users, streams, datetime.now(UTC))

    genres, hours = (results.kpis[name].to_pandas().to_csv(index=False) for name in ("genre_level_kpis", "hourly_kpis"))
    assert oracle.differences(expected.genre_level_kpis, genres, oracle.GENRE_KEY) == ""
    assert oracle.differences(expected.hourly_kpis, hours, oracle.HOUR_KEY) == ""
    assert results.accepted == {day.isoformat(): events for day, events in expected.accepted_by_date.items()}
    assert results.rejected == expected.rejected
    assert len(expected.rejected) > 4
