"""What Glue runs is the same wherever it is built from the same sources, and whole."""

import io
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from infra import glue_archive

FILES = {
    "contract/__init__.py": "",
    "contract/rejections.py": "REASONS = ()\n",
    "contract/verdicts.sql": "select 1\n",
    "glue_jobs/__init__.py": "",
    "glue_jobs/curate_user_streams.py": "import contract.rejections, glue_jobs.kernels\nprint('ran')\n",
    "glue_jobs/compute_kpis.py": "import contract.rejections, glue_jobs.kernels\nprint('ran')\n",
    "glue_jobs/kernels.py": "",
    "glue_jobs/kpis/hourly_kpis/partial.sql": "select 2\n",
}
WHEELS = {"wheels/requirements.txt": b"six==1.17.0\n", "wheels/six-1.17.0-py2.py3-none-any.whl": b"a wheel"}


def lay_out(folder: Path) -> Path:
    for name, content in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return lay_out(tmp_path / "repository")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sources in another place, younger, and with what Python and editors leave behind."""
    copy = lay_out(tmp_path / "copy")
    for file in copy.rglob("*.*"):
        file.chmod(0o600)
        os.utime(file, (2_000_000_000, 2_000_000_000))
    (copy / "glue_jobs" / "__pycache__").mkdir()
    (copy / "glue_jobs" / "__pycache__" / "kernels.cpython-313.pyc").write_bytes(b"compiled")
    (copy / "glue_jobs" / "kernels.py.swp").write_bytes(b"edited")
    return copy


def build(repository: Path, wheels: dict[str, bytes] | None = WHEELS) -> glue_archive.GlueRelease:
    return glue_archive.build(wheels, repository / "glue_jobs", [repository / "contract"])


def test_the_same_sources_are_the_same_release_wherever_they_lie(repository: Path, copy: Path) -> None:
    assert build(copy) == build(repository)


def test_any_change_of_the_code_or_of_a_wheel_is_another_release(copy: Path) -> None:
    names = {build(copy).name}
    for name in ("contract/verdicts.sql", "glue_jobs/compute_kpis.py", "glue_jobs/kpis/hourly_kpis/partial.sql"):
        with (copy / name).open("a") as file:
            file.write("-- changed\n")
        names.add(build(copy).name)
    names.add(build(copy, WHEELS | {"wheels/six-1.17.0-py2.py3-none-any.whl": b"another"}).name)
    assert len(names) == 5


def test_a_release_is_uploaded_below_its_own_name(repository: Path) -> None:
    release = build(repository)
    assert re.fullmatch("[0-9a-f]{12}", release.name)
    files = ("curate_user_streams.py", "compute_kpis.py", "packages.zip", "wheels.gluewheels.zip")
    assert set(release.objects) == {f"artifacts/glue/{release.name}/{name}" for name in files}


def test_the_archive_holds_the_python_and_sql_of_the_packages_and_nothing_else(copy: Path) -> None:
    archive = zipfile.ZipFile(io.BytesIO(build(copy).files[glue_archive.ARCHIVE]))
    assert {name: archive.read(name).decode() for name in archive.namelist()} == FILES


def test_the_zip_of_wheels_has_the_layout_that_glue_looks_for(repository: Path) -> None:
    archive = zipfile.ZipFile(io.BytesIO(build(repository).files[glue_archive.WHEELS]))
    assert {name: archive.read(name) for name in archive.namelist()} == WHEELS


def test_where_the_packages_are_there_already_no_wheels_are_uploaded(repository: Path) -> None:
    assert glue_archive.WHEELS not in build(repository, None).files


def test_the_release_is_made_of_the_jobs_and_what_they_import() -> None:
    assert [package.name for package in (*glue_archive.LIBRARIES, glue_archive.JOBS)] == ["contract", "glue_jobs"]


@pytest.mark.parametrize("missing", ["glue_jobs/compute_kpis.py", "contract/__init__.py"])
def test_a_missing_script_or_package_is_an_error_and_no_release(copy: Path, missing: str) -> None:
    (copy / missing).unlink()
    with pytest.raises(FileNotFoundError, match=missing.partition("/")[0]):
        build(copy)


def run(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, script]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("script", glue_archive.SCRIPTS)
def test_each_script_runs_far_from_the_repository_with_the_archive_alone(
    repository: Path, tmp_path: Path, script: str
) -> None:
    for name, content in build(repository).files.items():
        (tmp_path / name).write_bytes(content)
    assert run(script, tmp_path, PYTHONPATH=str(tmp_path / glue_archive.ARCHIVE)).stdout == "ran\n"
    assert "No module named 'contract'" in run(script, tmp_path).stderr
