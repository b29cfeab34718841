"""The DAG as Airflow loads it, rendered from a manifest that dbt makes of the project as it stands."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import tests.unit.dags.airflow_home  # noqa: F401

if TYPE_CHECKING:
    from airflow.sdk import DAG

REPOSITORY = Path(__file__).parents[3]
DAG_ID = "data_validation_and_kpi_computation"


@pytest.fixture(scope="session")
def dag_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A deployment: its settings, and the dbt manifest that is part of it."""
    folder = tmp_path_factory.mktemp("dbt")
    shutil.copy(REPOSITORY / "profiles.yml.example", folder / "profiles.yml")
    settings = {
        "MUSIC_STREAMS_BUCKET": "music-lake",
        "MUSIC_STREAMS_SCHEMA_PREFIX": "test",
        "MUSIC_STREAMS_DBT_MANIFEST": str(folder / "manifest.json"),
        "DBT_PROFILES_DIR": str(folder),
        "DBT_TARGET": "sandbox",
    }
    subprocess.run(
        [Path(sys.executable).with_name("dbt"), "parse", "--target-path", folder, "--log-path", folder],
        cwd=REPOSITORY,
        env={**os.environ, **settings},
        check=True,
        capture_output=True,
    )
    return settings


@pytest.fixture(scope="session")
def dag(dag_environment: dict[str, str]) -> "DAG":
    from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415

    with pytest.MonkeyPatch.context() as patch:
        for name, value in dag_environment.items():
            patch.setenv(name, value)
        bag = DagBag(REPOSITORY / "dags", include_examples=False)
    assert bag.import_errors == {}
    loaded: DAG = bag.dags[DAG_ID]
    return loaded
