"""Fetch the packages that the jobs import beside Spark, as one zip of wheels, so that runs need no package registry.

Glue installs a file `….gluewheels.zip` that holds `wheels/requirements.txt` and the wheels for it:
https://docs.aws.amazon.com/glue/latest/dg/aws-glue-programming-python-libraries.html
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from infra.platforms import GLUE
from infra.requirements import GLUE_WHEELS, REPOSITORY, pins

FOLDER = REPOSITORY / ".venv" / "glue"
MAKE_THE_LIST = "make the list anew with `python -m infra.requirements`"


class WheelError(Exception):
    """A package cannot be installed on Glue; the message says why."""


def fetch(listed: str | None = None, folder: Path = FOLDER) -> dict[str, bytes]:
    """Return the files of the zip by name; fetch wheels from PyPI or pip's configured mirror, or reuse fetched ones.

    Args:
        listed: pinned packages with the hashes of their wheels; by default those of `glue/wheels.txt`.
        folder: the folder that keeps the wheels, by the list's digest.

    Raises:
        WheelError: pip cannot fetch a wheel, or the kept wheels differ from the list.
    """
    listed = GLUE_WHEELS.read_text() if listed is None else listed
    kept = folder / hashlib.sha256(listed.encode()).hexdigest()[:12]
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder) as made:
            fetched = Path(made) / "wheels"
            _download(listed, fetched)
            check(fetched, listed)
            fetched.rename(kept)  # atomic, so the kept folder is always complete
    return check(kept, listed)


def check(folder: Path, listed: str) -> dict[str, bytes]:
    """Check that each wheel of the folder is listed and installs on Glue; return the files of the zip by name.

    Raises:
        WheelError: a wheel is not listed, does not install on Glue, or is missing.
    """
    wheels = {wheel.name: wheel.read_bytes() for wheel in sorted(folder.iterdir())}
    wanted = pins(listed)
    for name, content in wheels.items():
        where = folder / name
        try:
            package, version, *_ = parse_wheel_filename(name)
        except InvalidWheelFilename as error:
            raise WheelError(f"{where} is no wheel: delete {folder} and deploy again") from error
        if not GLUE.takes(name):
            raise WheelError(
                f"{where} is not for Glue's Python {GLUE.version} on Linux {', '.join(GLUE.machines)}: "
                f"delete {folder} and deploy again"
            )
        if wanted.pop(package, None) != str(version):
            raise WheelError(f"{where} is not listed in {GLUE_WHEELS.name}: delete {folder} and deploy again")
        digest = hashlib.sha256(content).hexdigest()
        if f"sha256:{digest}" not in listed:
            raise WheelError(
                f"{where} has the hash {digest}, which {GLUE_WHEELS.name} does not list: delete {folder} and deploy "
                f"again. If it comes back, whoever serves it serves another file than PyPI: ask another index, "
                f"by PIP_INDEX_URL"
            )
    if wanted:
        raise WheelError(f"{folder} lacks the wheels of {', '.join(sorted(wanted))}: delete it and deploy again")
    pinned = "".join(f"{name}=={version}\n" for name, version in sorted(pins(listed).items()))
    return {"wheels/requirements.txt": pinned.encode()} | {f"wheels/{name}": wheel for name, wheel in wheels.items()}


def _download(listed: str, folder: Path) -> None:
    with TemporaryDirectory() as made:
        requirements = Path(made) / GLUE_WHEELS.name
        requirements.write_text(listed)
        for_glue = ["--implementation=cp", f"--python-version={GLUE.version}"]
        for_glue += [f"--abi={abi}" for abi in (f"cp{GLUE.python[0]}{GLUE.python[1]}", "abi3", "none")]
        for_glue += [f"--platform={name}" for name in GLUE.names]
        safely = ["--require-hashes", "--only-binary=:all:", "--no-deps", "--quiet", "--no-input"]
        command = ["-m", "pip", "--disable-pip-version-check", "download", *safely, *for_glue]
        result = subprocess.run(
            [sys.executable, *command, f"--dest={folder}", f"--requirement={requirements}"],
            env={"PIP_INDEX_URL": os.environ["UV_DEFAULT_INDEX"], **os.environ}
            if "UV_DEFAULT_INDEX" in os.environ
            else None,
            capture_output=True,
            text=True,
            check=False,
        )
    if result.returncode != 0:
        raise WheelError(
            f"pip cannot fetch what {GLUE_WHEELS.name} lists for Glue's Python {GLUE.version}:\n"
            f"{result.stderr.strip()}\n"
            f"When a hash differs or a wheel is missing, {MAKE_THE_LIST}; when PyPI cannot be reached, name a mirror "
            f"by PIP_INDEX_URL. Then deploy again."
        )
