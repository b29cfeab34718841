"""The dbt project, parsed once with nothing set but what parsing needs."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt.contracts.graph.manifest import Manifest

ROOT = Path(__file__).parents[3]

OURS = ("DBT_", "REDSHIFT_", "MUSIC_STREAMS_", "AWS_")
Parse = Callable[..., dbtRunnerResult]


@pytest.fixture(scope="session")
def parse(tmp_path_factory: pytest.TempPathFactory) -> Parse:
    """Parses the project in an environment that holds the given variables and none of ours besides."""
    home = tmp_path_factory.mktemp("dbt")
    shutil.copy(ROOT / "profiles.yml.example", home / "profiles.yml")

    def parse(**variables: str) -> dbtRunnerResult:
        with pytest.MonkeyPatch.context() as patch:
            for name in [
                name for name in os.environ if name.startswith(("DBT_", "REDSHIFT_", "MUSIC_STREAMS_", "AWS_"))
            ]:
                patch.delenv(name)
            for name, value in variables.items():
                patch.setenv(name, value)
            outputs = ["--target-path", str(home / "target"), "--log-path", str(home / "logs"), "--no-partial-parse"]
            return dbtRunner().invoke(
                ["--quiet", "parse", "--project-dir", str(ROOT), "--profiles-dir", str(home), *outputs]
            )

    return parse


@pytest.fixture(scope="session")
def manifest(parse: Parse) -> Manifest:
    parsed = parse(MUSIC_STREAMS_SCHEMA_PREFIX="sandbox", MUSIC_STREAMS_BUCKET="lake")
    assert isinstance(parsed.result, Manifest), parsed.exception
    return parsed.result
