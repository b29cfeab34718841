"""The lists of packages for MWAA say what uv.lock and AWS say, and nothing in them is left for MWAA to decide."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from infra import requirements
from infra.tools import uv

# dbt needs older ones, which MWAA's Airflow never sees; boto3 goes with moto here.
NOT_MWAAS = {"pathspec", "more-itertools", "boto3", "botocore"}


@pytest.fixture(scope="module")
def mwaa() -> dict[str, str]:
    return requirements.pins(requirements.CONSTRAINTS.read_text())


@pytest.fixture(scope="module")
def locked() -> dict[str, str]:
    """What our own environment holds, on Python 3.12."""
    text = uv("export", "--frozen", "--no-group", "infra", "--no-hashes", "--no-annotate", "--no-emit-project")
    lines = [Requirement(line) for line in text.splitlines() if not line.startswith("#")]
    here = {"python_version": "3.12", "python_full_version": "3.12.12"}
    return {
        canonicalize_name(line.name): str(line.specifier).removeprefix("==")
        for line in lines
        if line.marker is None or line.marker.evaluate(here)
    }


def test_we_develop_with_the_very_versions_that_mwaa_installs(mwaa: dict[str, str], locked: dict[str, str]) -> None:
    ours = {name: version for name, version in locked.items() if name in mwaa and name not in NOT_MWAAS}
    assert len(ours) > 100
    assert ours == {name: mwaa[name] for name in ours}


def test_uv_is_held_to_mwaas_pins_and_to_no_others(mwaa: dict[str, str], locked: dict[str, str]) -> None:
    project = tomllib.loads((requirements.REPOSITORY / "pyproject.toml").read_text())
    held = requirements.pins("\n".join(project["tool"]["uv"]["constraint-dependencies"]))
    assert len(held) == len(project["tool"]["uv"]["constraint-dependencies"])
    assert held == {name: mwaa[name] for name in held}
    assert not held.keys() & NOT_MWAAS
    unheld = (mwaa.keys() & locked.keys()) - held.keys() - NOT_MWAAS
    assert not unheld, f"pyproject.toml's constraint-dependencies lack MWAA's pins of {sorted(unheld)}"


def test_the_list_for_airflow_is_whole_pinned_and_of_tested_versions(
    mwaa: dict[str, str], locked: dict[str, str]
) -> None:
    lines = [line for line in requirements.REQUIREMENTS.read_text().splitlines() if not line.startswith("#")]
    listed = requirements.pins("\n".join(lines))
    assert len(listed) == len(lines), "a line is no pin"
    wanted = {line for line in requirements.WANTED.read_text().splitlines() if not line.startswith("#")}
    assert wanted <= listed.keys()
    assert listed == {name: locked[name] for name in listed}
    assert {name: mwaa.get(name, version) for name, version in listed.items()} == listed
    assert not any(name.startswith("dbt") for name in listed)


def test_the_list_for_airflow_leaves_mwaas_own_pins_in_force() -> None:
    # MWAA looks for this in each line, comments included, and where it finds it, installs without its constraints.
    assert not re.search("-c |--constraint ", requirements.REQUIREMENTS.read_text())


def test_the_list_for_dbt_is_that_of_uv_lock(locked: dict[str, str]) -> None:
    assert requirements.DBT_REQUIREMENTS.read_text() == requirements.dbt_requirements(), (
        "uv.lock has changed: run `python -m infra.requirements`"
    )
    listed = requirements.pins(requirements.DBT_REQUIREMENTS.read_text())
    assert {"dbt-core", "dbt-redshift", "redshift-connector"} <= listed.keys()
    assert listed == {name: locked[name] for name in listed}


@pytest.mark.parametrize(
    ("wheel", "taken"),
    [
        ("pydantic_core-2.46.1-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", True),
        ("pydantic_core-2.46.1-cp312-cp312-manylinux_2_17_aarch64.manylinux2014_aarch64.whl", True),
        ("dbt_core-1.11.16-py3-none-any.whl", True),
        ("dbt_extractor-0.6.0-cp39-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", True),
        ("lxml-6.0.2-cp312-cp312-manylinux_2_35_x86_64.whl", False),  # a newer C library than MWAA's
        ("pydantic_core-2.46.1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", False),
        ("pydantic_core-2.46.1-cp312-cp312-musllinux_1_1_x86_64.whl", False),
        ("pydantic_core-2.46.1-cp312-cp312-macosx_11_0_arm64.whl", False),
        ("colorama-0.4.6-py2-none-any.whl", False),
    ],
)
def test_only_files_that_mwaas_python_takes_are_listed(wheel: str, taken: bool) -> None:
    assert requirements.fits(wheel) is taken
