"""What Glue runs is the same wherever it is built from the same sources, and whole."""

import io
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from infra import glue_archive


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package's sources in another place, younger, and with what Python and editors leave behind."""
    package = shutil.copytree(glue_archive.PACKAGE, tmp_path / "glue_jobs")
    for file in package.rglob("*.py"):
        file.chmod(0o600)
        os.utime(file, (2_000_000_000, 2_000_000_000))
    (package / "__pycache__").mkdir(exist_ok=True)
    (package / "__pycache__" / "session.cpython-312.pyc").write_bytes(b"compiled")
    (package / "session.py.swp").write_bytes(b"edited")
    return package


def test_the_same_sources_are_the_same_release_wherever_they_lie(copy: Path) -> None:
    assert glue_archive.build(copy) == glue_archive.build()


def test_any_change_of_the_code_is_another_release(copy: Path) -> None:
    before = glue_archive.build(copy).name
    for name in ("session.py", "hourly_kpis.py"):
        with (copy / name).open("a") as file:
            file.write("# changed\n")
        after = glue_archive.build(copy).name
        assert after != before
        before = after


def test_a_release_is_uploaded_below_its_own_name() -> None:
    release = glue_archive.build()
    assert re.fullmatch("[0-9a-f]{12}", release.name)
    assert set(release.objects) == {
        f"artifacts/glue/{release.name}/{name}"
        for name in ("curate_user_streams.py", "genre_level_kpis.py", "hourly_kpis.py", "glue_jobs.zip")
    }


def test_the_archive_holds_the_package_and_nothing_else(copy: Path) -> None:
    names = zipfile.ZipFile(io.BytesIO(glue_archive.archive(copy))).namelist()
    assert names == sorted(f"glue_jobs/{file.name}" for file in glue_archive.PACKAGE.glob("*.py"))


def test_a_missing_script_is_an_error_and_no_release(copy: Path) -> None:
    (copy / "hourly_kpis.py").unlink()
    with pytest.raises(FileNotFoundError, match=r"hourly_kpis\.py"):
        glue_archive.build(copy)


def run(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, script]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("script", glue_archive.SCRIPTS)
def test_each_script_starts_far_from_the_repository_with_the_archive_alone(tmp_path: Path, script: str) -> None:
    for name, content in glue_archive.build().files.items():
        (tmp_path / name).write_bytes(content)
    result = run(script, tmp_path, PYTHONPATH=str(tmp_path / glue_archive.ARCHIVE))
    # It came to its arguments, and says that they are missing: all its imports were there.
    assert result.returncode != 0
    assert "--bucket" in result.stderr
    assert str(tmp_path / glue_archive.ARCHIVE / "glue_jobs" / "arguments.py") in result.stderr


def test_without_the_archive_a_script_finds_no_code_of_ours(tmp_path: Path) -> None:
    script = glue_archive.SCRIPTS[0]
    (tmp_path / script).write_bytes(glue_archive.build().files[script])
    assert "No module named 'glue_jobs'" in run(script, tmp_path).stderr
