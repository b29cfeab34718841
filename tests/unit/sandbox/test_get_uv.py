"""Getting uv with the machine's pip, or with one that is fetched."""

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

import pytest

from sandbox import get_uv

# Stands for pip: it puts a program where pip would put uv.
INSTALL = """
import os, pathlib, sys
assert "uv>=0.9,<1" in sys.argv
assert os.environ["PIP_USER"] == os.environ["PIP_REQUIRE_VIRTUALENV"] == "0"
assert os.environ["PIP_INDEX_URL"] == "https://mirror.example/simple/"
program = pathlib.Path(sys.argv[sys.argv.index("--target") + 1]) / "bin" / "uv"
program.parent.mkdir()
program.write_text("uv 0.9.9")
program.chmod(0o755)
"""


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A mirror with pip's wheel, for a Python without pip; what is there by address."""
    wheel = io.BytesIO()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("pip/__main__.py", INSTALL)
    listing = {"files": [{"filename": "pip-1.0.tar.gz", "url": "gone"}, {"filename": get_uv.PIP, "url": "../files/1"}]}
    pages = {
        "https://mirror.example/simple/pip/": json.dumps(listing).encode(),
        "https://mirror.example/simple/files/1": wheel.getvalue(),
    }
    monkeypatch.setattr(get_uv, "read", lambda address, accept="": pages[address])
    monkeypatch.setattr(get_uv, "has_pip", lambda: False)
    monkeypatch.setattr(get_uv, "PIP_SHA256", hashlib.sha256(wheel.getvalue()).hexdigest())
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://mirror.example/simple/")
    return pages


def test_without_pip_its_wheel_from_the_users_mirror_installs_uv_whatever_pip_is_set_to(
    index: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_USER", "true")
    monkeypatch.setenv("PIP_REQUIRE_VIRTUALENV", "true")

    assert get_uv.main(tmp_path) == 0

    program = tmp_path / "bin" / "uv"
    assert os.access(program, os.X_OK)
    assert program.read_text() == "uv 0.9.9"
    assert {entry.name for entry in tmp_path.iterdir()} == {"bin"}


def test_a_wheel_with_another_hash_is_not_run(
    index: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index["https://mirror.example/simple/files/1"] += b"tampered"

    assert get_uv.main(tmp_path) == 1

    assert "does not have the hash of the released one" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_index_without_the_wheel_is_named_with_the_remedy(
    index: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index["https://mirror.example/simple/pip/"] = b'{"files": []}'

    assert get_uv.main(tmp_path) == 1

    printed = capsys.readouterr().err
    assert f"https://mirror.example/simple/pip/ does not list {get_uv.PIP}" in printed
    assert "Install uv yourself" in printed


def test_a_pip_that_fails_ends_with_the_remedy_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(get_uv, "REQUIREMENT", "uv>=0.9,<0.1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")

    assert get_uv.main(tmp_path) == 1

    assert "Install uv yourself" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_only_web_addresses_are_read() -> None:
    with pytest.raises(ValueError, match="not a web address"):
        get_uv.read("file:///etc/passwd")


def test_what_a_killed_one_has_left_is_removed(index: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "unpacked-1").mkdir()
    (tmp_path / "unpacked-1" / "uv").write_bytes(b"half")

    assert get_uv.main(tmp_path) == 0

    assert {entry.name for entry in tmp_path.iterdir()} == {"bin"}


def test_an_interrupted_download_ends_without_a_word_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(_folder: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(get_uv, "install_uv", interrupted)

    assert get_uv.main(tmp_path) == 130
    assert list(tmp_path.iterdir()) == []
