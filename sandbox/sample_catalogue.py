"""Generate seeded songs and users in the format of the producers' files.

Everything is a pure function of the seed and an index, through a hash of 64-bit integers. So any row can be generated
without the rows before it, and the bytes do not depend on the version of Python or NumPy.
"""

import csv
import hashlib
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

Draws = npt.NDArray[np.uint64]
Text = npt.NDArray[np.uint8]
"""One text per row, as bytes; NUL fills the row up."""

UNKNOWN_USERS = 500
UNKNOWN_TRACKS = 200
"""So many ids come after the known ones: events mention them, the files do not."""

SONG_COLUMNS = [
    *("id", "track_id", "artists", "album_name", "track_name", "popularity", "duration_ms", "explicit", "danceability"),
    *("energy", "key", "loudness", "mode", "speechiness", "acousticness", "instrumentalness", "liveness", "valence"),
    *("tempo", "time_signature", "track_genre"),
]
USER_COLUMNS = ["user_id", "user_name", "user_age", "user_country", "created_at"]

_WORDS: dict[str, list[str]] = tomllib.loads(Path(__file__).with_name("sample_words.toml").read_text(encoding="utf-8"))
_GENRES, _ADJECTIVES, _NOUNS = _WORDS["genres"], _WORDS["adjectives"], _WORDS["nouns"]
_GIVEN_NAMES, _FAMILY_NAMES, _COUNTRIES = _WORDS["given_names"], _WORDS["family_names"], _WORDS["countries"]
_OTHER_SCRIPTS = _WORDS["other_scripts"]
_ODD_AGES = ["", "-1", "0", "130", "131", "999", "5", "101"]
_ALPHABET = np.frombuffer(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", dtype=np.uint8)

# Two years around the first sample day: half of the events precede their user's sign-up.
_FIRST_SIGN_UP = date(2023, 6, 26)
_SIGN_UP_DAYS = 730


def draws(purpose: str, indexes: Draws) -> Draws:
    """Return one pseudorandom 64-bit number per index: SplitMix64, started at a hash of the numbers' purpose."""
    start = np.uint64(int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "big"))
    z = indexes * np.uint64(0x9E3779B97F4A7C15) + start
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def text_table(texts: list[str]) -> Text:
    """Return the texts as rows of bytes of equal width."""
    encoded = [text.encode() for text in texts]
    width = max(map(len, encoded))
    return np.frombuffer(b"".join(text.ljust(width, b"\0") for text in encoded), dtype=np.uint8).reshape(-1, width)


@dataclass(frozen=True)
class Catalogue:
    """The songs and users of one seed; `songs` and `users` are their numbers."""

    seed: int = 1
    songs: int = 90_000
    users: int = 50_000

    def __post_init__(self) -> None:
        if self.songs < 1 or self.users < 1:
            raise ValueError(f"a catalogue needs at least one song and one user, not {self.songs} and {self.users}")

    def _draws(self, purpose: str, count: int) -> Draws:
        return draws(f"{self.seed}/{purpose}", np.arange(count, dtype=np.uint64))

    def user_ids(self) -> Text:
        """The ids of known users, then those of unknown ones."""
        return text_table([str(number + 1) for number in range(self.users + UNKNOWN_USERS)])

    def track_ids(self) -> Text:
        """The ids of known tracks, then those of unknown ones: 22 letters and digits each."""
        count = self.songs + UNKNOWN_TRACKS
        letters = [self._draws(f"letter {place}", count) % np.uint64(62) for place in range(22)]
        return _ALPHABET[np.stack(letters, axis=1).astype(np.intp)]

    def write_songs(self, path: Path) -> None:
        """Write songs.csv."""
        _write_csv(path, SONG_COLUMNS, self._song_rows())

    def write_users(self, path: Path) -> None:
        """Write users.csv."""
        _write_csv(path, USER_COLUMNS, self._user_rows())

    def _song_rows(self) -> Iterator[list[object]]:
        ids = (np.arange(self.songs) + np.cumsum(self._draws("gap", self.songs) % np.uint64(4) == 0)).tolist()
        track_ids = [row.tobytes().decode() for row in self.track_ids()[: self.songs]]
        numbers = self._draws("song numbers", self.songs).tolist()
        names = self._draws("song names", self.songs).tolist()
        artists = self._draws("artists", self.songs).tolist()
        taken = set(ids)
        for index, (id_, track_id) in enumerate(zip(ids, track_ids, strict=True)):
            row = [id_, track_id, *_song(numbers[index], names[index], artists[index])]
            yield row
            if index % 9973 == 4:  # the track repeats with a higher id, so this row must not count
                yield [
                    ids[-1] + 1 + index,
                    track_id,
                    *_song(numbers[index] ^ 0xFFFF_FFFF, names[index] + 1, artists[index] + 1),
                ]
            if index % 9973 == 9 and id_ - 1 not in taken and id_ > 0:  # with a lower id, this later row must count
                yield [id_ - 1, track_id, *_song(numbers[index] ^ 0xFFFF_FFFF, names[index] + 1, artists[index] + 1)]

    def _user_rows(self) -> Iterator[list[object]]:
        for index, draw in enumerate(self._draws("user", self.users).tolist()):
            name = f"{_one(_GIVEN_NAMES, draw)} {_one(_FAMILY_NAMES, draw >> 8)}"
            if (draw >> 16) % 97 == 0:
                name = f'{_one(_GIVEN_NAMES, draw)} "{_one(_NOUNS, draw >> 8)}" {_one(_FAMILY_NAMES, draw >> 8)}'
            if (draw >> 16) % 97 == 1:
                name = f"{_one(_FAMILY_NAMES, draw >> 8)}, {_one(_GIVEN_NAMES, draw)}"
            # The lower of two random numbers, so that younger users are more frequent.
            age: object = 12 + min((draw >> 24) % 70, (draw >> 32) % 70)
            if (draw >> 40) % 200 == 0:
                age = _one(_ODD_AGES, draw >> 48)
            country = _one(_COUNTRIES, draw >> 52)
            signed_up = _FIRST_SIGN_UP + timedelta(days=(draw >> 36) % _SIGN_UP_DAYS)
            yield [index + 1, name, age, country, signed_up.isoformat()]


def _song(numbers: int, names: int, artists: int) -> list[object]:
    """Return the fields of a song except its ids, made from three draws."""
    if names % 30_011 == 0:  # the producers' file has a few tracks with numbers but no names
        described: list[object] = ["", "", ""]
    else:
        described = [_artists(artists), _title(names >> 7), _title(names >> 20)]
    shares = [f"0.{(numbers >> shift) % 1000:03d}" for shift in (3, 9, 15, 21, 27, 33, 39)]
    return [
        *described,
        (numbers >> 17) % 101,
        60_000 + (numbers >> 20) % 300_000,
        (numbers >> 40) % 11 == 0,
        shares[0],
        shares[1],
        (numbers >> 41) % 12,
        f"-{(numbers >> 43) % 40}.{(numbers >> 30) % 1000:03d}",
        (numbers >> 44) % 2,
        *shares[2:],
        f"{60 + (numbers >> 46) % 140}.{(numbers >> 33) % 1000:03d}",
        3 + (numbers >> 47) % 3,
        "" if (numbers >> 50) % 211 == 0 else _one(_GENRES, numbers >> 48),
    ]


def _one(words: list[str], draw: int) -> str:
    return words[draw % len(words)]


def _title(draw: int) -> str:
    adjective, noun, other = _one(_ADJECTIVES, draw), _one(_NOUNS, draw >> 6), _one(_NOUNS, draw >> 12)
    forms = {
        0: f"{adjective} {noun}, {other}",
        1: f'The "{adjective}" {noun}',
        2: f"{adjective} {noun} (feat. {_artist((draw >> 18) % 999)})",
        3: f"{_one(_OTHER_SCRIPTS, draw >> 18)} - {noun}",
        4: f"{_one(_OTHER_SCRIPTS, draw >> 18)}, {other}",
        5: f"{adjective} {noun} - Live at the {other}",
        6: f" {noun} " if (draw >> 24) % 8 == 0 else f"{noun}; {other}",
        7: f"{adjective} {noun}\nPart {1 + (draw >> 18) % 9}"
        if (draw >> 24) % 8 == 0
        else f"{noun} {1 + (draw >> 18) % 99}",
        8: f'"{noun}"',
        9: f"C:\\{noun}\\",
    }
    return forms.get((draw >> 30) % 40, f"{adjective} {noun}")


def _artist(number: int) -> str:
    """Return the name of an artist; there are about 12,000, and those with lower numbers have more songs."""
    adjective, noun = _one(_ADJECTIVES, number), _one(_NOUNS, number // len(_ADJECTIVES))
    forms = {
        1: f"{noun}, the {adjective}",
        2: f'"{adjective}" {noun}',
        3: f"{_one(_OTHER_SCRIPTS, number)} {noun}",
        4: f"{_one(_GIVEN_NAMES, number)} {_one(_FAMILY_NAMES, number // 40)}",
        5: f"DJ {noun} {number}",
    }
    return forms.get(number // 2280, f"The {adjective} {noun}s")


def _artists(draw: int) -> str:
    """Return a list of one to four artists, separated by `;`."""
    names = [_artist(min((draw >> shift) % 12_007, (draw >> shift + 9) % 12_007)) for shift in (2, 13, 24, 35)]
    forms = {
        0: ";".join(names[:3]),
        1: ";".join(names),
        2: f"{names[0]} ; {names[1]}",
        3: f"{names[0]};{names[1]};{names[0]}",
        4: f"{names[0]};",
    }
    dice = (draw >> 50) % 100
    if dice < 20:
        return f"{names[0]};{names[1]}"
    return forms.get(dice - 20, names[0])


def _write_csv(path: Path, columns: list[str], rows: Iterator[list[object]]) -> None:
    unfinished = path.with_name(path.name + ".unfinished")
    with unfinished.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    unfinished.replace(path)
