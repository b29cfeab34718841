"""What `make run` puts into the landing prefix: the user's files, or the next day of sample data."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from boto3.s3.transfer import TransferConfig
from music_streams.batches import STREAM_ENDINGS

from contract import layout
from sandbox import sample_events
from sandbox.home import Home, SandboxError
from sandbox.settings import BUCKET

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SONGS, USERS, STREAMS = "songs.csv", "users.csv", "user_streams"
EXPECTED = f"{SONGS}, {USERS} or {STREAMS}/**/*.csv"
IN_ONE_PART = TransferConfig(multipart_threshold=5 * 1024**3)
SAMPLE_DAYS = "sample-days"


@dataclass(frozen=True)
class Delivery:
    """Files to land, by key."""

    title: str
    files: Mapping[str, Path]

    def land(self, s3: "S3Client") -> None:
        """Upload them; a file of the same name is replaced."""
        for key, file in self.files.items():
            s3.upload_file(str(file), BUCKET, key, Config=IN_ONE_PART)


def from_folder(name: str) -> Delivery:
    """The useful files of the user's folder.

    Raises:
        SandboxError: there are none.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "does not exist"
        raise SandboxError(f"DATA={name} {what}. Give a folder with {EXPECTED}.")
    candidates = {layout.SONGS: folder / SONGS, layout.USERS: folder / USERS}
    streams = (file for file in sorted((folder / STREAMS).rglob("*")) if file.name.lower().endswith(STREAM_ENDINGS))
    candidates |= {f"{layout.ROOT}/{file.relative_to(folder).as_posix()}": file for file in streams}
    files = {key: file for key, file in candidates.items() if file.is_file()}
    if not files:
        present = ", ".join(sorted(entry.name for entry in folder.iterdir())[:10]) or "nothing"
        raise SandboxError(f"DATA={name} holds none of {EXPECTED}. It holds: {present}.")
    return Delivery(title=f"{len(files)} files of {folder}", files=files)


def sample_day(home: Home) -> Delivery:
    """The first sample day that has not landed yet."""
    day: date = sample_events.FIRST_DAY + timedelta(days=home.recall(SAMPLE_DAYS) or 0)
    folder = home.folder("sample")
    streams = sample_events.write_sample_day(folder, day)
    files = {layout.SONGS: folder / SONGS, layout.USERS: folder / USERS}
    files |= {f"{layout.USER_STREAMS}/{file.name}": file for file in streams}
    return Delivery(title=f"the sample data of {day.isoformat()}", files=files)


def next_sample_day(home: Home) -> None:
    """Note that the current sample day has landed."""
    home.remember(SAMPLE_DAYS, (home.recall(SAMPLE_DAYS) or 0) + 1)
