"""Get the program uv from PyPI: `python get_uv.py FOLDER` puts it at FOLDER/bin/uv.

The script runs on the machine's bare Python, 3.8 or newer. pip installs uv, since it is configured for the machine's
mirrors. Debian's Python has neither pip nor ensurepip; then the script fetches pip's wheel with the standard library
alone, and runs pip from it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from urllib.parse import urljoin

REQUIREMENT = "uv>=0.9,<1"
PIP = "pip-25.0.1-py3-none-any.whl"  # the last one for Python 3.8
PIP_SHA256 = "c46efd13b6aa8279f33f2864459c8ce587ea6a1a59ee20de055868d8f7688f7f"
DEFAULT_INDEX = "https://pypi.org/simple"
TIMEOUT_SECONDS = 60
UNPACKED = "unpacked-"


def main(folder: Path) -> int:
    """Put uv at folder/bin/uv, and return the exit status."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{UNPACKED}*"):  # left by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    try:
        with tempfile.TemporaryDirectory(prefix=UNPACKED, dir=folder) as unpacked:
            install_uv(Path(unpacked))
            (folder / "bin").mkdir(exist_ok=True)
            (Path(unpacked) / "bin" / "uv").replace(folder / "bin" / "uv")
    except KeyboardInterrupt:
        return 130
    except (OSError, LookupError, ValueError, subprocess.CalledProcessError) as error:
        print(
            f"error: cannot get uv from PyPI: {error}\nInstall uv yourself (https://docs.astral.sh/uv) and try again.",
            file=sys.stderr,
        )
        return 1
    return 0


def install_uv(folder: Path) -> None:
    """Have pip install uv into the folder.

    Raises:
        subprocess.CalledProcessError: pip failed; it has printed why.
    """
    pip = ["-m", "pip"] if has_pip() else [str(fetch_pip(folder) / "pip")]
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--target", str(folder)]
    # A user may have set these two for pip; they would forbid --target, or the Python of the machine.
    environment = {**os.environ, "PIP_ROOT_USER_ACTION": "ignore", "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
    if mirror := os.environ.get("UV_DEFAULT_INDEX"):
        environment["PIP_INDEX_URL"] = mirror
    subprocess.run([sys.executable, *pip, "install", *options, REQUIREMENT], check=True, env=environment)


def has_pip() -> bool:
    """Return whether this Python has pip."""
    return subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0


def fetch_pip(folder: Path) -> Path:
    """Download pip's wheel into the folder, and return its path.

    Raises:
        LookupError: the index does not list the wheel.
        ValueError: the wheel is not the one that this script knows.
    """
    index = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("PIP_INDEX_URL") or DEFAULT_INDEX
    address = index.rstrip("/") + "/pip/"
    listing = json.loads(read(address, accept="application/vnd.pypi.simple.v1+json"))
    urls = [file["url"] for file in listing["files"] if file["filename"] == PIP]
    if not urls:
        raise LookupError(f"{address} does not list {PIP}")
    content = read(urljoin(address, urls[0]))
    if hashlib.sha256(content).hexdigest() != PIP_SHA256:
        raise ValueError(f"{PIP} from {index} does not have the hash of the released one")
    wheel = folder / PIP
    wheel.write_bytes(content)
    return wheel


def read(address: str, accept: str = "*/*") -> bytes:
    """Return the bytes at an http address."""
    if not address.startswith(("https://", "http://")):
        raise ValueError(f"not a web address: {address}")
    request = urllib.request.Request(address, headers={"Accept": accept})  # noqa: S310 - the scheme was checked
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
        content: bytes = answer.read()
    return content


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
