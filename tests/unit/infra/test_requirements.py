"""The lists of packages for MWAA say what uv.lock and AWS say, and nothing in them is left for MWAA to decide."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from infra import requirements
from infra.platforms import GLUE, MWAA, Platform
from infra.tools import uv

CHANGED = "uv.lock has changed: run `python -m infra.requirements`"

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
    assert requirements.DBT_REQUIREMENTS.read_text() == requirements.hashed(requirements.DBT, MWAA), CHANGED
    listed = requirements.pins(requirements.DBT_REQUIREMENTS.read_text())
    assert {"dbt-core", "dbt-redshift", "redshift-connector"} <= listed.keys()
    assert listed == {name: locked[name] for name in listed}


def test_the_list_for_glue_is_that_of_uv_lock_with_one_wheel_for_each_package(locked: dict[str, str]) -> None:
    text = requirements.GLUE_WHEELS.read_text()
    assert text == requirements.hashed(requirements.JOBS, GLUE), CHANGED
    listed = requirements.pins(text)
    assert set(requirements.JOBS) <= listed.keys()
    assert listed == {name: locked[name] for name in listed}
    assert text.count("--hash=sha256:") == len(listed)


def test_a_package_without_a_wheel_for_a_platform_is_named() -> None:
    with pytest.raises(LookupError, match=r"duckdb 2\.\d+\.\d+ has no wheel for Nobody's Python 3\.4: take another"):
        requirements.hashed(["duckdb"], Platform("Nobody", (3, 4), 17, ("x86_64",)))


@pytest.mark.parametrize(
    ("wheel", "takers"),
    [
        ("pydantic_core-2.46.1-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", {MWAA}),
        ("pydantic_core-2.46.1-cp312-cp312-manylinux_2_17_aarch64.manylinux2014_aarch64.whl", {MWAA}),
        ("pyarrow-23.0.1-cp313-cp313-manylinux_2_28_x86_64.whl", {GLUE}),
        ("pyarrow-23.0.1-cp313-cp313-manylinux_2_28_aarch64.whl", set()),
        ("pyarrow-23.0.1-cp313-cp313t-manylinux_2_28_x86_64.whl", set()),  # without the interpreter's lock
        ("duckdb-2.0.1-cp312-abi3-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl", {MWAA, GLUE}),
        ("dbt_core-1.11.16-py3-none-any.whl", {MWAA, GLUE}),
        ("lxml-6.0.2-cp312-cp312-manylinux_2_35_x86_64.whl", set()),  # a newer C library than Amazon Linux 2023's
        ("pydantic_core-2.46.1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", set()),
        ("pydantic_core-2.46.1-cp312-cp312-musllinux_1_1_x86_64.whl", set()),
        ("pydantic_core-2.46.1-cp312-cp312-macosx_11_0_arm64.whl", set()),
        ("colorama-0.4.6-py2-none-any.whl", set()),
    ],
)
def test_only_wheels_that_a_platforms_python_takes_are_listed(wheel: str, takers: set[Platform]) -> None:
    assert {platform for platform in (MWAA, GLUE) if platform.takes(wheel)} == takers
