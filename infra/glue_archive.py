"""What Glue runs, as it is uploaded: the scripts of the jobs, and one archive of the package that they import.

The same sources give the same bytes, and the same bytes the same release, so a release is uploaded once and never
changes: a Glue run that is under way, or one of an older deployment, keeps the code that it began with.
"""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "glue_jobs"
SCRIPTS = ("curate_user_streams.py", "genre_level_kpis.py", "hourly_kpis.py")
ARCHIVE = "glue_jobs.zip"

ARTIFACTS = "artifacts"  # all code in the bucket lies below it
RELEASES = f"{ARTIFACTS}/glue"

EARLIEST = (1980, 1, 1, 0, 0, 0)  # that a zip file can hold
UNIX = 3
READABLE_FILE = 0o100644 << 16


@dataclass(frozen=True)
class GlueRelease:
    """The code of all jobs.

    Attributes:
        name: twelve hexadecimal digits, of a digest of all files.
        files: what is uploaded, by name.
    """

    name: str
    files: Mapping[str, bytes]

    @property
    def prefix(self) -> str:
        """The folder in the bucket: `artifacts/glue/<name>`."""
        return f"{RELEASES}/{self.name}"

    @property
    def objects(self) -> dict[str, bytes]:
        """What is uploaded, by key."""
        return {f"{self.prefix}/{name}": content for name, content in self.files.items()}


def build(package: Path = PACKAGE) -> GlueRelease:
    """The release of the sources as they are.

    Raises:
        FileNotFoundError: the package lacks a job's script.
    """
    files = {script: (package / script).read_bytes() for script in SCRIPTS}
    files[ARCHIVE] = archive(package)
    return GlueRelease(_digest(files)[:12], files)


def archive(package: Path) -> bytes:
    """The package as a zip file that Python imports from."""
    content = io.BytesIO()
    # Stored, not deflated: another zlib packs the same files into other bytes.
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as packed:
        for file in sorted(package.rglob("*.py")):
            entry = zipfile.ZipInfo(file.relative_to(package.parent).as_posix(), EARLIEST)
            entry.create_system, entry.external_attr = UNIX, READABLE_FILE
            packed.writestr(entry, file.read_bytes())
    return content.getvalue()


def _digest(files: Mapping[str, bytes]) -> str:
    of_each = (f"{name} {hashlib.sha256(content).hexdigest()}\n" for name, content in sorted(files.items()))
    return hashlib.sha256("".join(of_each).encode()).hexdigest()
