"""Choose and land the files of `make run`: the user's, or the next day of sample data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from boto3.s3.transfer import TransferConfig
from music_streams.batches import STREAM_ENDINGS

from contract import layout
from contract.bucket import Bucket
from sandbox import sample_events
from sandbox.home import Home, SandboxError
from sandbox.settings import BUCKET

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SONGS, USERS, STREAMS = "songs.csv", "users.csv", "user_streams"
EXPECTED = f"{SONGS}, {USERS} or {STREAMS}/**/*.csv"
IN_ONE_PART = TransferConfig(multipart_threshold=5 * 1024**3)
SAMPLE_DAYS = "sample-days"
LAST_FOLDER = "last-folder"  # the user's last folder, for commands that land it again
MOST_LEFT_OUT_SHOWN = 20
MOST_WAITING_SHOWN = 5


@dataclass(frozen=True)
class Delivery:
    """A delivery of files.

    Attributes:
        title: The delivery's description for people.
        files: Files to land, by key.
        left_out: Names of the folder's other files, each with the reason why it does not land.
    """

    title: str
    files: Mapping[str, Path]
    left_out: Mapping[str, str] = field(default_factory=dict)

    def land(self, s3: "S3Client") -> None:
        """Upload the files; a file with the same name is replaced."""
        for key, file in self.files.items():
            s3.upload_file(str(file), BUCKET, key, Config=IN_ONE_PART)


def from_folder(name: str) -> Delivery:
    """Return the files of the user's folder that the pipeline takes in, and the reasons why it ignores the others.

    Raises:
        SandboxError: the folder has no file to land.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "does not exist"
        raise SandboxError(f"DATA={name} {what}. Give a folder with {EXPECTED}.")
    files, left_out = {}, {}
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        path = file.relative_to(folder).as_posix()
        reason = why_left_out(path)
        if reason:
            left_out[path] = reason
        else:
            files[f"{layout.ROOT}/{path}"] = file
    if not files:
        present = "\n".join(f"  {line}" for line in sentences(left_out)) or "  nothing"
        raise SandboxError(f"DATA={name} holds none of {EXPECTED}, so nothing lands. It holds:\n{present}")
    return Delivery(f"{len(files)} {'file' if len(files) == 1 else 'files'} of {folder}", files, left_out)


def why_left_out(path: str) -> str:
    """Return the reason why a file of the user's folder does not land, with the remedy; empty if it lands.

    Args:
        path: The file's name within the folder, with `/`.
    """
    top, _, below = path.partition("/")
    is_stream = path.lower().endswith(STREAM_ENDINGS)
    if path in (SONGS, USERS) or (top == STREAMS and below and is_stream):
        return ""
    if top == STREAMS and below:
        return f"does not end in {' or '.join(STREAM_ENDINGS)}"
    if path.lower() in (SONGS, USERS):
        return f"rename it to {path.lower()} if it is the table of that name"
    if is_stream:
        return f"put it into {STREAMS}/ if it holds listening events"
    return f"is neither {SONGS} nor {USERS}, nor a stream file below {STREAMS}/"


def sentences(left_out: Mapping[str, str]) -> list[str]:
    """Return a line for each file that does not land; if there are many, the first ones and the number of others."""
    lines = [f"{path}: {reason}" for path, reason in left_out.items()]
    more = len(lines) - MOST_LEFT_OUT_SHOWN
    return lines if more <= 0 else [*lines[:MOST_LEFT_OUT_SHOWN], f"and {more:,} more"]


def waiting(bucket: Bucket) -> list[str]:
    """Return the names in the landing prefix of the stream files that the next run takes in."""
    keys = (found.key for found in bucket.objects(f"{layout.USER_STREAMS}/"))
    return sorted(key.removeprefix(f"{layout.ROOT}/") for key in keys if key.lower().endswith(STREAM_ENDINGS))


def taken_in_besides(waited: Sequence[str], delivery: Delivery | None) -> list[str]:
    """Return lines on the files that the run takes in beside the delivery just landed, and the commands to remove them.

    Args:
        waited: The names of the stream files that waited before the delivery landed.
        delivery: The delivery that has landed; None if there is none.
    """
    landed = delivery.files if delivery else {}
    others = [name for name in waited if f"{layout.ROOT}/{name}" not in landed]
    if not others:
        return []
    many = f"{len(others):,} files wait" if len(others) > 1 else "1 file waits"
    more = len(others) - MOST_WAITING_SHOWN
    return [
        f"{many} from before in the landing prefix, and the run takes {'them' if len(others) > 1 else 'it'} in, too:",
        *(f"  {name}" for name in others[:MOST_WAITING_SHOWN]),
        *([f"  and {more:,} more"] if more > 0 else []),
        f"  not wanted?  {remove_command(others[0])}",
    ]


def remove_command(name: str) -> str:
    """Return the command that moves a landed file to quarantine, ready to paste."""
    return f"make remove FILE={quote(name)}"


def sample_day(home: Home) -> Delivery:
    """Return the first sample day that has not landed yet."""
    day: date = sample_events.FIRST_DAY + timedelta(days=home.recall(SAMPLE_DAYS) or 0)
    folder = home.folder("sample")
    streams = sample_events.write_sample_day(folder, day)
    files = {layout.SONGS: folder / SONGS, layout.USERS: folder / USERS}
    files |= {f"{layout.USER_STREAMS}/{file.name}": file for file in streams}
    return Delivery(title=f"the sample data of {day.isoformat()}", files=files)


def next_sample_day(home: Home) -> None:
    """Note that the current sample day has landed."""
    home.remember(SAMPLE_DAYS, (home.recall(SAMPLE_DAYS) or 0) + 1)
