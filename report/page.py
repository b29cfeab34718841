"""Build the page: one HTML file with its styles, scripts and figures, which sends no requests."""

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

import altair as alt
import vl_convert

from report.charts import charts, genre_colours
from report.figures import Figures, columns
from report.findings import DAYS, change, day, findings, number, plays_by_genre, weeks

FOLDER = Path(__file__).parent

# The captions below the charts' titles.
SHOWN = {
    "plays": "Plays per day, of the genre chosen. The newest 7 days are strong.",
    "listeners": "Distinct users per day of the genre chosen. Of all genres together: distinct users in the day's "
    "busiest hour, as users of several genres or hours would count twice. The newest 7 days are filled.",
    "genres": "Share of all plays in the 7 days up to the last date chosen; ▲ and ▼: change on the 7 days before.",
    "weekdays": "Mean plays per day in each hour of the week, of all genres.",
    "diversity": "Distinct tracks per play: the mean of the day's hours, weighted by plays, of all genres.",
    "ages": "How often each age group was the one with most plays, of all genres.",
    "artists": "Hours in which no artist had more plays, of all genres.",
}


def page(figures: Figures, runs: Sequence[Mapping[str, Any]], made: datetime) -> str:
    """Return the page as HTML.

    Args:
        figures: the figures that the charts show.
        runs: the records of the last runs (`batches/B/run.json`), newest first; without any the page has no such table.
        made: the time at which the page is made, in UTC.
    """
    dates, names = figures.dates, figures.genre_names
    colours = genre_colours(names)
    ages = {row.most_engaged_age_group for row in figures.hours if row.most_engaged_age_group is not None}
    is_empty = not figures.genres or not figures.hours
    content = {
        "tables": {"genres": columns(figures.genres), "hours": columns(figures.hours)},
        "charts": {} if is_empty else charts(names, ages),
        "colours": colours,
        "newest": (dates[-1] - timedelta(days=DAYS)).isoformat() if dates else None,
    }
    return Template((FOLDER / "page.html").read_text(encoding="utf-8")).substitute(
        style=(FOLDER / "page.css").read_text(encoding="utf-8"),
        period=f"{day(dates[0])} to {day(dates[-1])}" if dates else "no dates yet",
        made=f"{day(made)}, {made:%H:%M} UTC",
        first=dates[0].isoformat() if dates else "",
        last=dates[-1].isoformat() if dates else "",
        genres="".join(f"<option>{html.escape(name)}</option>" for name in sorted(names)),
        controls="hidden" if is_empty else "",
        headline="<p class=empty>Nothing was played yet: the charts come with the first loaded batch.</p>"
        if is_empty
        else headline(figures),
        charts="" if is_empty else "".join(figure(name, title) for name, title in findings(figures).items()),
        runs=table_of_runs(runs),
        libraries=libraries(),
        content=script_json(content),
        script=(FOLDER / "page.js").read_text(encoding="utf-8"),
    )


def headline(figures: Figures) -> str:
    """Return the newest week's figures in large print."""
    now, before = weeks(figures.genres)
    total, earlier = sum(row.plays for row in now), sum(row.plays for row in before)
    newest = figures.genres[-1].listen_date
    of_day = sum(row.plays for row in figures.genres if row.listen_date == newest)
    genres = len(plays_by_genre(now))
    moved = f"{change(total / earlier - 1)} on the week before" if earlier else "no week before to compare with"
    tiles = [
        ("plays-of-the-week", number(total), f"plays in 7 days, {moved}"),
        ("plays-of-the-day", number(of_day), f"plays on {day(newest)}"),
        ("genres-of-the-week", number(genres), "genres played in 7 days"),
    ]
    return (
        "<dl>"
        + "".join(f"<div><dd id={name}>{value}</dd><dt>{text}</dt></div>" for name, value, text in tiles)
        + "</dl>"
    )


def figure(name: str, title: str) -> str:
    """Return a chart's title, caption and empty place, which the page's script fills."""
    return (
        f"<figure class={name}><h2>{html.escape(title)}</h2><figcaption>{SHOWN[name]}</figcaption>"
        f"<div id=chart-{name}></div></figure>"
    )


def table_of_runs(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of the last runs; empty if no run has left a record."""
    if not runs:
        return ""
    heads = ("Ended (UTC)", "Landed", "Accepted", "Rejected", "Late", "Files refused", "Files left lying", "Batch")
    rows = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells_of_run(run))}</tr>" for run in runs)
    return (
        "<section><h2>What the last runs took in</h2><div class=wide><table><thead><tr>"
        f"{''.join(f'<th>{head}</th>' for head in heads)}</tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def cells_of_run(run: Mapping[str, Any]) -> Iterable[str]:
    """Yield the cells of a run's row, as HTML."""
    rejected: Mapping[str, int] = run["rejected"]
    reasons = "; ".join(f"{reason} {number(count)}" for reason, count in sorted(rejected.items()))
    yield html.escape(run["ended_at"][:16].replace("T", " "))
    yield number(run["events_landed"])
    yield number(run["accepted"])
    yield number(sum(rejected.values())) + (f" <small>{html.escape(reasons)}</small>" if reasons else "")
    yield number(run["late_events"])
    yield number(len(run["refused_files"]))
    yield number(len(run["left_lying"]))
    yield f"<code>{html.escape(run['batch_id'])}</code>"


@cache
def libraries() -> str:
    """Return the code of Vega, Vega-Lite and Vega-Embed, in the versions for which Altair draws."""
    version = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", version)
    # Cosmos' Airflow plugin inserts a script before each </head>, and a string in Vega-Embed holds one.
    return bundle.replace("</head", r"<\/head").replace("</script", r"<\/script")


def script_json(content: Any) -> str:
    """Return JSON in which no text can end the surrounding script element."""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", r"\u003c")
