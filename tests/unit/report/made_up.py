"""Figures made up for the page, and the page as its readers' browsers take it apart."""

import json
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from html.parser import HTMLParser
from typing import Any

from report.figures import Figures, GenreOfDate, HourOfDate

LAST = date(2024, 6, 30)  # a Sunday
AGES = ("<18", "18-25", "26-35", "36-45", "46-55", "56-65", "66+")


def figures(days: int, genres: Iterable[str], *, without: Iterable[date] = ()) -> Figures:
    """As many days up to LAST but for some, each with plays of all genres in all hours."""
    missing, names = set(without), list(genres)
    dates = [LAST - timedelta(days=days - 1 - number) for number in range(days)]
    shown = [(number, day) for number, day in enumerate(dates) if day not in missing]
    return Figures(
        genres=[
            GenreOfDate(day, genre, plays := 1000 + 7 * number - place, plays // 2)
            for number, day in shown
            for place, genre in enumerate(names)
        ],
        hours=[
            HourOfDate(
                day,
                hour,
                50 + number * hour,
                40 + hour,
                round(0.5 + hour / 100, 2),
                f"artist {hour % 12}",
                AGES[hour % 7],
            )
            for number, day in shown
            for hour in range(24)
        ],
    )


class Page(HTMLParser):
    """What a browser finds in a page: each element's attributes, and its text by id."""

    def __init__(self, html: str) -> None:
        """Take the page apart."""
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.titles: list[str] = []
        self._open = ""
        self._tag = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        self.elements.append((tag, dict(attrs)))
        self._tag, self._open = tag, dict(attrs).get("id") or ""

    def handle_data(self, data: str) -> None:
        """The text of the element that began last."""
        if self._open:
            self.texts[self._open] = self.texts.get(self._open, "") + data
        if self._tag == "h2":
            self.titles.append(data)

    def handle_endtag(self, tag: str) -> None:
        """An element ends."""
        self._open = self._tag = ""

    @property
    def content(self) -> dict[str, Any]:
        """The figures and charts that the page's script reads."""
        content: dict[str, Any] = json.loads(self.texts["content"])
        return content

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The rows of a table, as the page's script makes them."""
        return rows(self.content["tables"][table])


def rows(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of a table that the page holds by column."""
    whole = {
        name: column if isinstance(column, list) else [column["values"][place] for place in column["places"]]
        for name, column in columns.items()
    }
    return [dict(zip(whole, row, strict=True)) for row in zip(*whole.values(), strict=True)]
