"""The charts, in Altair.

The page passes each chart its tables, `genres` and `hours`, and the reader's choices as parameters: `first` and `last`
(ISO dates), `genre` (null for all) and `colour`, the genre's. So a chart can follow the reader without Python.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import altair as alt

GENRES = alt.NamedData("genres")
HOURS = alt.NamedData("hours")
FEW_GENRES = 12
FEW_ARTISTS = 10

CHOSEN_DATES = "datum.listen_date >= first && datum.listen_date <= last"
ALL_GENRES = "genre === null"
CHOSEN_GENRE = "datum.track_genre === genre"
DAY = "toDate(datum.listen_date)"  # Vega reads an ISO date without a time as UTC
DAYS_BEFORE_THE_LAST = f"(toDate(last) - {DAY}) / 86400000"
WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]

# Colours for the largest genres, which most colour-blind readers can distinguish on white and on black. The colours of
# the other genres follow the golden angle, so that no two neighbours in the ranking look alike.
FIRST_COLOURS = (
    *("#4c8bd6", "#e0802b", "#3d9e6a", "#c95fa6", "#b3902a"),
    *("#36a3b5", "#d6604d", "#8d74cf", "#7f9a3e", "#9c7a63"),
)
GOLDEN_ANGLE = 137.508
NEUTRAL = "#6b8cae"
UNKNOWN_COLOUR = "#8a8f98"
AGES = ("#f2c14e", "#e89a4f", "#d9725a", "#b9557a", "#8a4c93", "#5d55a5", "#3a5f9e")

Chart = alt.Chart | alt.LayerChart


def charts(genre_names: Iterable[str], age_groups: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the Vega-Lite specification of each chart, by name, without its tables."""
    drawn: dict[str, Chart] = {
        "plays": plays(),
        "listeners": listeners(),
        "genres": genres(genre_colours(genre_names)),
        "weekdays": weekdays(),
        "diversity": diversity(),
        "ages": ages(age_groups),
        "artists": artists(),
    }
    return {name: specification(chart) for name, chart in drawn.items()}


def specification(chart: Chart) -> dict[str, Any]:
    """Return the chart's specification for the page: as wide as its place, with the parameters that the page sets."""
    chosen = [alt.param(name=name, value=None) for name in ("first", "last", "genre", "newest")]
    wide = chart.add_params(*chosen, alt.param(name="colour", value=NEUTRAL)).properties(
        width="container", autosize=alt.AutoSizeParams(type="fit-x", contains="padding"), background="transparent"
    )
    made: dict[str, Any] = wide.to_dict()
    del made["config"]  # Altair's default; the page has a light and a dark configuration of its own
    return made


def genre_colours(names: Iterable[str]) -> dict[str, str]:
    """Return one colour per genre, for the whole page."""
    colours = {}
    for place, name in enumerate(name for name in names if name != "unknown"):
        beyond = place - len(FIRST_COLOURS)
        colours[name] = FIRST_COLOURS[place] if beyond < 0 else f"hsl({beyond * GOLDEN_ANGLE % 360:.0f}, 42%, 55%)"
    return colours | {"unknown": UNKNOWN_COLOUR}


def plays() -> alt.Chart:
    """Draw plays per day: of all genres, or of the chosen one."""
    chart: alt.Chart = (
        alt.Chart(GENRES, height=220, description="Plays per day")
        .transform_filter(CHOSEN_DATES)
        .transform_filter(f"{ALL_GENRES} || {CHOSEN_GENRE}")
        .transform_aggregate(plays="sum(plays)", groupby=["listen_date"])
        .transform_calculate(day=DAY)
        .mark_bar(fill=alt.expr("colour"))
        .encode(
            x=dates("utcyearmonthdate(day):T"),
            y=alt.Y("plays:Q", title="Plays per day", axis=alt.Axis(format="~s", tickCount=5)),
            opacity=alt.condition("datum.listen_date > newest", alt.value(1), alt.value(0.5)),
            tooltip=[date_tooltip(), alt.Tooltip("plays:Q", title="Plays", format=",")],
        )
    )
    return chart


def listeners() -> alt.LayerChart:
    """Draw the listeners per day of the chosen genre; for all genres, which share listeners, of the busiest hour."""
    of_all = (
        alt.Chart(HOURS)
        .transform_filter(f"{ALL_GENRES} && {CHOSEN_DATES}")
        .transform_aggregate(listeners="max(listeners)", groupby=["listen_date"])
    )
    of_genre = alt.Chart(GENRES).transform_filter(f"{CHOSEN_GENRE} && {CHOSEN_DATES}")
    tooltip = [date_tooltip(), alt.Tooltip("listeners:Q", title="Listeners", format=",")]
    y = alt.Y("listeners:Q", title="Listeners (distinct users)", axis=alt.Axis(format="~s", tickCount=5))
    layers = [layer for table in (of_all, of_genre) for layer in course(table, y, tooltip, alt.expr("colour"))]
    return alt.LayerChart(layer=[*layers], height=220, description="Listeners per day")


def genres(colours: Mapping[str, str]) -> alt.LayerChart:
    """Draw the genres with most plays in the 7 days up to the last chosen date, and the change on the 7 days before."""
    shares = (
        alt.Chart(GENRES)
        .transform_calculate(age=DAYS_BEFORE_THE_LAST)
        .transform_filter("datum.age >= 0 && datum.age < 14")
        .transform_calculate(now="datum.age < 7 ? datum.plays : 0", before="datum.age < 7 ? 0 : datum.plays")
        .transform_aggregate(now="sum(now)", before="sum(before)", groupby=["track_genre"])
        .transform_joinaggregate(all="sum(now)")
        .transform_filter("datum.track_genre !== 'unknown' && datum.now > 0")
        .transform_window(place="row_number()", sort=[alt.SortField("now", "descending"), alt.SortField("track_genre")])
        .transform_filter(f"datum.place <= {FEW_GENRES} || {CHOSEN_GENRE}")
        .transform_calculate(share="datum.now / datum.all", change="datum.before ? datum.now / datum.before - 1 : null")
        .transform_calculate(
            moved="datum.change === null ? 'new' : (datum.change < 0 ? '▼ ' : '▲ ') + format(abs(datum.change), '.1%')"
        )
    )
    y = alt.Y("track_genre:N", title=None, sort=alt.EncodingSortField("place", op="min"), axis=alt.Axis(labelLimit=140))
    x = alt.X("share:Q", title="Share of the plays of 7 days", axis=alt.Axis(format="~%", tickCount=5))
    bars = shares.mark_bar().encode(
        x=x,
        y=y,
        color=alt.Color(
            "track_genre:N", legend=None, scale=alt.Scale(domain=list(colours), range=list(colours.values()))
        ),
        opacity=alt.condition(f"{ALL_GENRES} || {CHOSEN_GENRE}", alt.value(1), alt.value(0.35)),
        tooltip=[
            alt.Tooltip("track_genre:N", title="Genre"),
            alt.Tooltip("share:Q", title="Share", format=".2%"),
            alt.Tooltip("now:Q", title="Plays", format=","),
            alt.Tooltip("before:Q", title="Plays, week before", format=","),
            alt.Tooltip("change:Q", title="Change", format="+.1%"),
        ],
    )
    changes = shares.mark_text(align="left", dx=5).encode(x=x, y=y, text="moved:N")
    return alt.LayerChart(layer=[bars, changes], height=alt.Step(21), description="Genres by share of plays")


def weekdays() -> alt.Chart:
    """Draw plays per day in each hour of the week; the mean includes dates that had no plays in the hour."""
    chart: alt.Chart = (
        alt.Chart(HOURS, height=alt.Step(25), description="Plays by weekday and hour")
        .transform_filter(CHOSEN_DATES)
        .transform_calculate(weekday=f"{WEEKDAYS}[(utcday({DAY}) + 6) % 7]")
        .transform_joinaggregate(days="distinct(listen_date)", groupby=["weekday"])
        .transform_aggregate(plays="sum(plays)", days="max(days)", groupby=["weekday", "listen_hour"])
        .transform_calculate(mean="datum.plays / datum.days")
        .mark_rect()
        .encode(
            x=hours(),
            y=alt.Y("weekday:O", sort=WEEKDAYS, title=None, scale=alt.Scale(domain=WEEKDAYS)),
            color=alt.Color("mean:Q", title="Plays per day", legend=alt.Legend(format="~s", tickCount=4)),
            tooltip=[
                alt.Tooltip("weekday:O", title="Weekday"),
                alt.Tooltip("listen_hour:O", title="Hour (UTC)"),
                alt.Tooltip("mean:Q", title="Mean plays per day", format=",.1f"),
                alt.Tooltip("days:Q", title="Days"),
            ],
        )
    )
    return chart


def diversity() -> alt.LayerChart:
    """Draw distinct tracks per play: the mean of a day's hours, weighted by plays."""
    days = (
        alt.Chart(HOURS)
        .transform_filter(CHOSEN_DATES)
        .transform_calculate(weighted="datum.diversity_index * datum.plays")
        .transform_aggregate(weighted="sum(weighted)", plays="sum(plays)", groupby=["listen_date"])
        .transform_calculate(diversity="datum.weighted / datum.plays")
    )
    y = alt.Y(
        "diversity:Q",
        title="Distinct tracks per play",
        scale=alt.Scale(zero=False),
        axis=alt.Axis(format=".2~f", tickCount=5),
    )
    tooltip = [date_tooltip(), alt.Tooltip("diversity:Q", title="Diversity", format=".3f")]
    return alt.LayerChart(layer=[*course(days, y, tooltip)], height=220, description="Diversity over time")


def ages(age_groups: Iterable[str]) -> alt.Chart:
    """Draw, by hour, how often each age group was the one with most plays."""
    ordered = sorted(age_groups, key=lambda group: (not group.startswith("<"), int(re.findall(r"\d+", group)[0])))
    chart: alt.Chart = (
        alt.Chart(HOURS, height=220, description="Age groups by hour")
        .transform_filter(CHOSEN_DATES)
        .transform_filter("datum.most_engaged_age_group !== null")
        .transform_aggregate(led="count()", groupby=["listen_hour", "most_engaged_age_group"])
        .transform_joinaggregate(days="sum(led)", groupby=["listen_hour"])
        .transform_calculate(share="datum.led / datum.days", order=f"indexof({ordered}, datum.most_engaged_age_group)")
        .mark_bar()
        .encode(
            x=hours(),
            y=alt.Y("share:Q", title="Share of days led", axis=alt.Axis(format="~%", tickCount=5)),
            color=alt.Color(
                "most_engaged_age_group:N",
                title="Age in years",
                sort=ordered,
                legend=alt.Legend(columns=4),  # a row of seven would be wider than a phone
                scale=alt.Scale(domain=ordered, range=list(AGES[: len(ordered)])),
            ),
            order="order:Q",
            tooltip=[
                alt.Tooltip("listen_hour:O", title="Hour (UTC)"),
                alt.Tooltip("most_engaged_age_group:N", title="Age in years"),
                alt.Tooltip("led:Q", title="Days led"),
                alt.Tooltip("share:Q", title="Share of days", format=".0%"),
            ],
        )
    )
    return chart


def artists() -> alt.Chart:
    """Draw the artists that most often had most plays of an hour."""
    chart: alt.Chart = (
        alt.Chart(HOURS, height=alt.Step(21), description="Artists that led most hours")
        .transform_filter(CHOSEN_DATES)
        .transform_filter("datum.top_artist !== null")
        .transform_aggregate(led="count()", days="distinct(listen_date)", groupby=["top_artist"])
        .transform_window(place="row_number()", sort=[alt.SortField("led", "descending"), alt.SortField("top_artist")])
        .transform_filter(f"datum.place <= {FEW_ARTISTS}")
        .mark_bar(fill=NEUTRAL)
        .encode(
            x=alt.X("led:Q", title="Hours with most plays", axis=alt.Axis(tickMinStep=1, tickCount=5, format="d")),
            y=alt.Y(
                "top_artist:N",
                title=None,
                sort=alt.EncodingSortField("place", op="min"),
                axis=alt.Axis(labelLimit=140),
            ),
            tooltip=[
                alt.Tooltip("top_artist:N", title="Artist"),
                alt.Tooltip("led:Q", title="Hours led"),
                alt.Tooltip("days:Q", title="Days with such an hour"),
            ],
        )
    )
    return chart


def course(table: alt.Chart, y: alt.Y, tooltip: list[alt.Tooltip], colour: Any = NEUTRAL) -> list[alt.Chart]:
    """Draw a line over the dates, broken at missing days, with a point per day, filled for the newest days."""
    days = (
        table.transform_calculate(day=DAY)
        .transform_window(previous="lag(day)", sort=[alt.SortField("day")])
        .transform_calculate(gap="datum.previous !== null && datum.day - datum.previous > 86400000 ? 1 : 0")
        .transform_window(stretch="sum(gap)", sort=[alt.SortField("day")], frame=[None, 0])
    )
    x = dates("day:T")
    return [
        days.mark_line(stroke=colour, strokeWidth=2, opacity=0.6).encode(x=x, y=y, detail="stretch:N"),
        days.mark_point(fill=colour, stroke=colour, opacity=1).encode(
            x=x,
            y=y,
            fillOpacity=alt.condition("datum.listen_date > newest", alt.value(1), alt.value(0.15)),
            size=alt.condition("datum.listen_date > newest", alt.value(70), alt.value(20)),
            tooltip=tooltip,
        ),
    ]


def dates(shorthand: str) -> alt.X:
    """Return the axis of dates."""
    axis = alt.Axis(
        format="%-d %b", labelOverlap=True, tickCount={"interval": "day", "step": 1}, grid=False, ticks=False
    )
    return alt.X(shorthand, title="Date (UTC)", scale=alt.Scale(type="utc"), axis=axis)


def hours() -> alt.X:
    """Return the axis of the day's 24 hours."""
    return alt.X(
        "listen_hour:O",
        title="Hour of the day (UTC)",
        scale=alt.Scale(domain=list(range(24))),
        axis=alt.Axis(labelAngle=0, labelOverlap=True),
    )


def date_tooltip() -> alt.Tooltip:
    """Return the tooltip of the date, which is text, so that no time zone can shift it."""
    return alt.Tooltip("listen_date:N", title="Day (UTC)")
