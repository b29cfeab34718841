"""Build the code that a deployment uploads for Glue: the jobs' scripts, one archive of the packages of this repository
that they import, and one of the packages that they import from PyPI.

The same sources give the same bytes, and the same bytes the same release. So a release is uploaded once and never
changes: a Glue run that is under way keeps the code that it began with, and so does an older deployment.
"""

import hashlib
import io
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
JOBS = REPOSITORY / "glue_jobs"
LIBRARIES = (REPOSITORY / "contract",)
SCRIPTS = ("curate_user_streams.py", "compute_kpis.py")
ARCHIVE = "packages.zip"
WHEELS = "wheels.gluewheels.zip"  # Glue recognises a zip of wheels by this ending
SOURCES = frozenset({".py", ".sql"})

ARTIFACTS = "artifacts"  # the prefix of all code in the bucket
RELEASES = f"{ARTIFACTS}/glue"

EARLIEST = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip file can hold
UNIX = 3
READABLE_FILE = 0o100644 << 16


@dataclass(frozen=True)
class GlueRelease:
    """The code of all jobs.

    Attributes:
        name: the first twelve hexadecimal digits of a digest of all files.
        files: the files to upload, by name.
    """

    name: str
    files: Mapping[str, bytes]

    @property
    def prefix(self) -> str:
        """The folder in the bucket: `artifacts/glue/<name>`."""
        return f"{RELEASES}/{self.name}"

    @property
    def objects(self) -> dict[str, bytes]:
        """The files to upload, by key."""
        return {f"{self.prefix}/{name}": content for name, content in self.files.items()}


def build(wheels: Mapping[str, bytes] | None, jobs: Path = JOBS, libraries: Iterable[Path] = LIBRARIES) -> GlueRelease:
    """Build the release of the current sources.

    Args:
        wheels: the files of the zip of wheels by name, see `glue_wheels`; None if the jobs find their packages without
            it, as in the sandbox.
        jobs: the package with the scripts.
        libraries: the packages that the scripts import.

    Raises:
        FileNotFoundError: a script or a package is missing.
    """
    files = {script: (jobs / script).read_bytes() for script in SCRIPTS}
    files[ARCHIVE] = archive(sources([*libraries, jobs]))
    if wheels is not None:
        files[WHEELS] = archive(wheels)
    return GlueRelease(digest(files)[:12], files)


def sources(packages: Iterable[Path]) -> dict[str, bytes]:
    """Return the Python and SQL files of packages, by their path in the archive.

    Raises:
        FileNotFoundError: a package does not exist.
    """
    found: dict[str, bytes] = {}
    for package in packages:
        if not (package / "__init__.py").exists():
            raise FileNotFoundError(f"{package} is no package, and Glue's jobs import it: its __init__.py is missing")
        files = (file for file in package.rglob("*") if file.suffix in SOURCES)
        found |= {file.relative_to(package.parent).as_posix(): file.read_bytes() for file in files}
    return found


def archive(files: Mapping[str, bytes]) -> bytes:
    """Return a zip file of the files, given by their names in it."""
    content = io.BytesIO()
    # Stored, not deflated, since versions of zlib may compress the same files into different bytes.
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as packed:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EARLIEST)
            entry.create_system, entry.external_attr = UNIX, READABLE_FILE
            packed.writestr(entry, files[name])
    return content.getvalue()


def digest(files: Mapping[str, bytes]) -> str:
    """Return a digest of files, given by their names, which changes if a name or a file changes."""
    of_each = (f"{name} {hashlib.sha256(content).hexdigest()}\n" for name, content in sorted(files.items()))
    return hashlib.sha256("".join(of_each).encode()).hexdigest()
