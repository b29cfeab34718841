"""The figures that the page shows, read from two views of the warehouse."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

LONGEST_NAME = 100  # characters; the warehouse keeps up to a thousand for artists


class GenreOfDate(NamedTuple):
    """A row of `genres_by_date`: a genre's plays and listeners on a date."""

    listen_date: date
    track_genre: str
    plays: int
    listeners: int


class HourOfDate(NamedTuple):
    """A row of `hours_by_date`: the KPIs of an hour (UTC) of a date."""

    listen_date: date
    listen_hour: int
    plays: int
    listeners: int
    diversity_index: float
    top_artist: str | None
    most_engaged_age_group: str | None


@dataclass(frozen=True)
class Figures:
    """The rows of both views, in order."""

    genres: list[GenreOfDate]
    hours: list[HourOfDate]

    @classmethod
    def read(cls, select: Callable[[str], Iterable[Iterable[Any]]], schema: str) -> "Figures":
        """Read the figures from the warehouse.

        Args:
            select: runs a SELECT and returns its rows.
            schema: the schema of the reports.
        """

        def rows(view: str, columns: tuple[str, ...]) -> Iterable[Iterable[Any]]:
            # The first two columns are the view's key.
            return select(f'select {", ".join(columns)} from "{schema}".{view} order by 1, 2')  # noqa: S608 - our own names

        return cls(
            genres=[GenreOfDate(*row) for row in rows("genres_by_date", GenreOfDate._fields)],
            hours=[HourOfDate(*row) for row in rows("hours_by_date", HourOfDate._fields)],
        )

    @property
    def dates(self) -> list[date]:
        """The dates with plays, oldest first."""
        return sorted({row.listen_date for row in self.genres} | {row.listen_date for row in self.hours})

    @property
    def genre_names(self) -> list[str]:
        """All genres, by plays, most first."""
        plays: dict[str, int] = {}
        for row in self.genres:
            plays[row.track_genre] = plays.get(row.track_genre, 0) + row.plays
        return sorted(plays, key=lambda genre: (-plays[genre], genre))


def columns(rows: Iterable[GenreOfDate] | Iterable[HourOfDate]) -> dict[str, Any]:
    """Return the rows by column, as the page holds them: texts and dates as positions in a list of their values.

    A column is a list of numbers, or `{"values": […], "places": […]}`.
    """
    listed: list[GenreOfDate | HourOfDate] = list(rows)
    if not listed:
        return {}
    return {
        name: _column([_short(value) for value in column])
        for name, column in zip(listed[0]._fields, zip(*listed, strict=True), strict=True)
    }


def _column(values: list[Any]) -> Any:
    if all(isinstance(value, int | float) for value in values):
        return values
    places: dict[Any, int] = {}
    return {"places": [places.setdefault(value, len(places)) for value in values], "values": list(places)}


def _short(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str) and len(value) > LONGEST_NAME:
        return value[: LONGEST_NAME - 1] + "…"
    return round(value, 4) if isinstance(value, float) else value
