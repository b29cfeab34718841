"""The program uv, which the set-up of this repository has found or fetched."""

import os
import shutil
import subprocess
from pathlib import Path

FETCHED = Path(__file__).resolve().parents[1] / ".sandbox" / "tools" / "bin" / "uv"


def uv(*arguments: str) -> str:
    """Run it; returns what it prints.

    Raises:
        FileNotFoundError: there is none.
        subprocess.CalledProcessError: it failed, and has said why on stderr.
    """
    return subprocess.run([uv_program(), *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def uv_program() -> str:
    """Where it is.

    Raises:
        FileNotFoundError: nowhere.
    """
    program = shutil.which("uv") or (str(FETCHED) if os.access(FETCHED, os.X_OK) else None)
    if program is None:
        raise FileNotFoundError(f"uv is neither on PATH nor at {FETCHED}: run `make setup`, which gets it")
    return program
