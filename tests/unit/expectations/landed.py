"""Files in memory, given to the validation as S3 gives them: read once, never sought, in whatever pieces arrive."""

import io
from datetime import UTC, datetime
from typing import Any

from expectations.report import FileReport, LandedFile, Problem, ValidationReport
from expectations.validation import validate_files

BATCH_TIME = datetime(2024, 6, 26, 0, 0, 3, 123456, tzinfo=UTC)

SONGS_HEADER = (
    "id,track_id,artists,album_name,track_name,popularity,duration_ms,explicit,danceability,energy,key,loudness,mode,"
    "speechiness,acousticness,instrumentalness,liveness,valence,tempo,time_signature,track_genre"
)
SONGS = b"id,track_id,artists,track_name,popularity,duration_ms,track_genre\n" + b"".join(
    f"{number},track-{number},Artist {number % 3};Guest,Title {number},{number * 10},{number * 1000},pop\n".encode()
    for number in range(1, 10)
)
USERS = b"user_id,user_name,user_age,user_country,created_at\n" + b"".join(
    f"{number},User {number},{20 + number},France,2024-01-0{number}\n".encode() for number in range(1, 10)
)
STREAM = (
    b"user_id,track_id,listen_time\n"
    b"1,track-1,2024-06-25 17:43:13\n"
    b"2,track-2,2024-06-25 00:00:00\n"
    b"3,track-3,2024-06-25 23:59:59\n"
)


class Trickle(io.RawIOBase):
    """A stream that gives a few bytes at each read, as the network may; it cannot be sought."""

    def __init__(self, content: bytes, piece: int) -> None:
        self._content = content
        self._offset = 0
        self._piece = piece

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        size = self._piece if size < 0 else min(size, self._piece)
        self._offset += size
        return self._content[self._offset - size : self._offset]


def landed(dataset: str, name: str, content: bytes, piece: int = 1 << 30) -> LandedFile:
    return LandedFile(dataset, name, lambda: Trickle(content, piece))  # type: ignore[arg-type, return-value]


def stream(content: bytes, name: str = "user_streams/2024-06-25.csv") -> LandedFile:
    return landed("user_streams", name, content)


def validate(
    *streams: LandedFile | bytes, songs: bytes | None = SONGS, users: bytes | None = USERS, **options: Any
) -> ValidationReport:
    """Validate stream files beside reference tables that are as they should be, unless given."""
    files = [file if isinstance(file, LandedFile) else stream(file) for file in streams]
    if songs is not None:
        files.append(landed("songs", "songs.csv", songs))
    if users is not None:
        files.append(landed("users", "users.csv", users))
    return validate_files(files, batch_time=BATCH_TIME, **options)


def file_report(report: ValidationReport, name: str) -> FileReport:
    return next(file for file in report.files if file.name == name)


def only_stream(report: ValidationReport) -> FileReport:
    [file] = [file for file in report.files if file.dataset == "user_streams"]
    return file


def only(problems: tuple[Problem, ...]) -> Problem:
    [problem] = problems
    return problem
