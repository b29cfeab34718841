"""Get the program uv from PyPI: `python get_uv.py FOLDER` puts it at FOLDER/bin/uv.

The script runs on the machine's bare Python, 3.8 or newer. If that Python has pip, pip installs uv, since it is
configured for the machine's mirrors. Debian's Python has neither pip nor ensurepip; then the script fetches the wheel
with the standard library alone.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

REQUIREMENT = "uv>=0.9,<1"
DEFAULT_INDEX = "https://pypi.org/simple"
TIMEOUT_SECONDS = 60
UNPACKED = "unpacked-"


def main(folder: Path) -> int:
    """Put uv at folder/bin/uv, and return the exit status."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{UNPACKED}*"):  # left by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    try:
        if with_pip(folder):
            return 0
        fetch_wheel(folder)
    except KeyboardInterrupt:
        return 130
    except (OSError, LookupError, ValueError) as error:
        print(
            f"error: cannot get uv from PyPI: {error}\nInstall uv yourself (https://docs.astral.sh/uv) and try again.",
            file=sys.stderr,
        )
        return 1
    return 0


def with_pip(folder: Path) -> bool:
    """Install uv with this Python's pip; return whether that succeeded."""
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False).returncode != 0:
        return False
    with tempfile.TemporaryDirectory(prefix=UNPACKED, dir=folder) as unpacked:
        command = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--target",
            unpacked,
            REQUIREMENT,
        ]
        environment = {**os.environ, "PIP_ROOT_USER_ACTION": "ignore"}
        if subprocess.run([sys.executable, *command], check=False, env=environment).returncode != 0:
            return False
        install(Path(unpacked) / "bin" / "uv", folder)
    return True


def fetch_wheel(folder: Path) -> None:
    """Download the newest release's wheel for this machine, check its hash, and unpack the program."""
    index = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("PIP_INDEX_URL") or DEFAULT_INDEX
    address = index.rstrip("/") + "/uv/"
    listing = json.loads(read(address, accept="application/vnd.pypi.simple.v1+json"))
    wheel = choose(listing["files"], platform.machine(), platform.libc_ver()[0] or "musl")
    content = read(urljoin(address, wheel["url"]))
    if hashlib.sha256(content).hexdigest() != wheel["hashes"]["sha256"]:
        raise ValueError(f"{wheel['filename']} from {index} has not the hash that the index states")
    with (
        zipfile.ZipFile(io.BytesIO(content)) as archive,
        tempfile.TemporaryDirectory(prefix=UNPACKED, dir=folder) as unpacked,
    ):
        member = next(name for name in archive.namelist() if name.endswith(".data/scripts/uv"))
        install(Path(archive.extract(member, unpacked)), folder)


def choose(files: list[dict[str, Any]], machine: str, libc: str) -> dict[str, Any]:
    """Return the newest release's wheel for the machine.

    Raises:
        LookupError: there is no such wheel.
    """
    platform_tag = "manylinux" if libc == "glibc" else "musllinux"
    fitting: list[tuple[tuple[int, ...], dict[str, Any]]] = []
    for file in files:
        name = file["filename"]
        version = release(name.split("-")[1]) if name.endswith(f"_{machine}.whl") and platform_tag in name else None
        if version and (0, 9) <= version < (1,) and not file.get("yanked"):
            fitting.append((version, file))
    if not fitting:
        raise LookupError(f"no wheel of uv for {platform_tag} {machine}")
    return max(fitting, key=lambda candidate: candidate[0])[1]


def release(version: str) -> tuple[int, ...] | None:
    """Parse a version such as `0.9.12` into numbers; None for a pre-release."""
    parts = version.split(".")
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else None


def read(address: str, accept: str = "*/*") -> bytes:
    """Return the bytes at an http address."""
    if not address.startswith(("https://", "http://")):
        raise ValueError(f"not a web address: {address}")
    request = urllib.request.Request(address, headers={"Accept": accept})  # noqa: S310 - the scheme was checked
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
        content: bytes = answer.read()
    return content


def install(program: Path, folder: Path) -> None:
    """Move the program into place atomically."""
    (folder / "bin").mkdir(exist_ok=True)
    program.chmod(program.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    shutil.move(str(program), str(folder / "bin" / "uv"))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
