"""Choosing uv's wheel where the machine has no pip."""

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from sandbox import get_uv

GLIBC = "manylinux_2_17_x86_64.manylinux2014_x86_64"
MUSL = "musllinux_1_1_x86_64"


def file(version: str, platform: str, **more: Any) -> dict[str, Any]:
    return {"filename": f"uv-{version}-py3-none-{platform}.whl", "url": f"../files/{version}", **more}


def test_the_newest_release_for_the_machine_is_chosen() -> None:
    files = [
        file("0.9.9", GLIBC),
        file("0.9.10", GLIBC),
        file("0.10.0rc1", GLIBC),
        file("0.9.11", GLIBC, yanked="broken"),
        file("0.9.12", "win_amd64"),
        file("0.9.12", "manylinux2014_aarch64"),
        file("1.0.0", GLIBC),
        {"filename": "uv-0.9.13.tar.gz"},
    ]

    assert get_uv.choose(files, "x86_64", "glibc") == files[1]
    assert get_uv.choose(files, "aarch64", "glibc") == files[5]


def test_the_machines_c_library_decides() -> None:
    files = [file("0.9.9", GLIBC), file("0.9.8", MUSL)]

    assert get_uv.choose(files, "x86_64", "musl") == files[1]


def test_a_machine_without_a_wheel_is_named() -> None:
    with pytest.raises(LookupError, match="manylinux sparc"):
        get_uv.choose([file("0.9.9", GLIBC)], "sparc", "glibc")


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """An index with one wheel, whose listing is at /simple/uv/."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("uv-0.9.9.data/scripts/uv", "#!/bin/sh\necho uv 0.9.9\n")
    digest = hashlib.sha256(content.getvalue()).hexdigest()
    listing = {"files": [file("0.9.9", GLIBC, hashes={"sha256": digest})]}
    pages = {
        "https://mirror.example/simple/uv/": json.dumps(listing).encode(),
        "https://mirror.example/simple/files/0.9.9": content.getvalue(),
    }
    monkeypatch.setattr(get_uv, "read", lambda address, accept="": pages[address])
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://mirror.example/simple/")
    return pages


def test_the_program_is_unpacked_from_the_users_mirror(index: dict[str, bytes], tmp_path: Path) -> None:
    get_uv.fetch_wheel(tmp_path)

    program = tmp_path / "bin" / "uv"
    assert os.access(program, os.X_OK)
    assert program.read_text().endswith("echo uv 0.9.9\n")
    assert {entry.name for entry in tmp_path.iterdir()} == {"bin"}


def test_a_wheel_with_another_hash_is_refused(index: dict[str, bytes], tmp_path: Path) -> None:
    index["https://mirror.example/simple/files/0.9.9"] += b"tampered"

    with pytest.raises(ValueError, match="not the hash"):
        get_uv.fetch_wheel(tmp_path)
    assert not (tmp_path / "bin").exists()


def test_only_web_addresses_are_read() -> None:
    with pytest.raises(ValueError, match="not a web address"):
        get_uv.read("file:///etc/passwd")


def test_what_a_killed_one_has_left_is_cleared_away(index: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "unpacked-1").mkdir()
    (tmp_path / "unpacked-1" / "uv").write_bytes(b"half")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(get_uv, "with_pip", lambda _folder: False)

        assert get_uv.main(tmp_path) == 0

    assert {entry.name for entry in tmp_path.iterdir()} == {"bin"}


def test_an_interrupted_download_ends_without_a_word_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(_folder: Path) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(get_uv, "with_pip", interrupted)

    assert get_uv.main(tmp_path) == 130
    assert list(tmp_path.iterdir()) == []
