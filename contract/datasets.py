"""The datasets that producers land, and the columns that each needs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Dataset:
    """One kind of landed file.

    Attributes:
        needed: columns without which a file is refused.
        optional: further columns that the pipeline reads; like the needed ones, they must not be named twice.
        unbroken: columns whose fields never hold a line break: keys and times.
    """

    name: str
    needed: tuple[str, ...]
    unbroken: tuple[str, ...]
    optional: tuple[str, ...] = ()

    @property
    def read(self) -> tuple[str, ...]:
        """All columns that the pipeline reads."""
        return (*self.optional, *self.needed)


SONGS = Dataset(
    "songs",
    needed=("track_id", "artists", "track_name", "duration_ms", "track_genre"),
    optional=("id",),
    unbroken=("track_id",),
)
USERS = Dataset("users", needed=("user_id", "user_age"), unbroken=("user_id",))
USER_STREAMS = Dataset(
    "user_streams",
    needed=("user_id", "track_id", "listen_time"),
    unbroken=("user_id", "track_id", "listen_time"),
)
DATASETS = (SONGS, USERS, USER_STREAMS)
