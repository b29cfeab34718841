"""The dbt project, parsed once with nothing set but what parsing needs."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt.contracts.graph.manifest import Manifest

ROOT = Path(__file__).parents[3]

NEEDED_TO_PARSE = {"MUSIC_STREAMS_SCHEMA_PREFIX": "sandbox"}
OURS = ("DBT_", "REDSHIFT_", "MUSIC_STREAMS_", "AWS_")


class Dbt:
    """dbt commands on this project, in an environment that holds the given variables and none of ours besides."""

    def __init__(self, home: Path) -> None:
        self.home = home
        shutil.copy(ROOT / "profiles.yml.example", home / "profiles.yml")

    def __call__(
        self, *command: str, variables: Mapping[str, str], manifest: Manifest | None = None
    ) -> dbtRunnerResult:
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith(OURS)]:
                patch.delenv(name)
            for name, value in variables.items():
                patch.setenv(name, value)
            places = {"project": ROOT, "profiles": self.home}
            arguments = [word for name, path in places.items() for word in (f"--{name}-dir", str(path))]
            outputs = ["--target-path", str(self.home / "target"), "--log-path", str(self.home / "logs")]
            return dbtRunner(manifest=manifest).invoke(["--quiet", *command, *arguments, *outputs])

    def parsed(self, *arguments: str, variables: Mapping[str, str]) -> Manifest:
        outcome = self("parse", *arguments, variables=variables)
        assert isinstance(outcome.result, Manifest), outcome.exception
        return outcome.result

    def listed(self, *selection: str, variables: Mapping[str, str], manifest: Manifest | None = None) -> set[str]:
        """What `dbt ls` prints for the selection, as `<resource type>:<name>`."""
        output = ["--output", "json", "--output-keys", "resource_type", "name"]
        outcome = self("ls", *selection, *output, variables=variables, manifest=manifest)
        assert isinstance(outcome.result, list), outcome.exception
        rows = [json.loads(line) for line in outcome.result]
        return {f"{row['resource_type']}:{row['name']}" for row in rows}


@pytest.fixture(scope="session")
def dbt(tmp_path_factory: pytest.TempPathFactory) -> Dbt:
    return Dbt(tmp_path_factory.mktemp("dbt"))


@pytest.fixture(scope="session")
def manifest(dbt: Dbt) -> Manifest:
    return dbt.parsed("--no-partial-parse", variables={**NEEDED_TO_PARSE, "MUSIC_STREAMS_BUCKET": "lake"})
