"""Run uv, which the set-up of this repository has found or fetched."""

import os
import shutil
import subprocess
from pathlib import Path

FETCHED = Path(__file__).resolve().parents[1] / ".sandbox" / "tools" / "bin" / "uv"


def uv(*arguments: str) -> str:
    """Run uv, and return its output.

    Raises:
        FileNotFoundError: uv is not installed.
        subprocess.CalledProcessError: uv failed, and has printed the reason to stderr.
    """
    return subprocess.run([uv_program(), *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def uv_program() -> str:
    """Return the path of uv.

    Raises:
        FileNotFoundError: uv is not installed.
    """
    program = shutil.which("uv") or (str(FETCHED) if os.access(FETCHED, os.X_OK) else None)
    if program is None:
        raise FileNotFoundError(f"uv is neither on PATH nor at {FETCHED}: run `make setup`, which gets it")
    return program
