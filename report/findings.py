"""Write the charts' titles: each is a sentence that states the chart's finding and its dates."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import date, timedelta

from report.figures import Figures, GenreOfDate

DAYS = 7
NEWEST = timedelta(days=DAYS)
UNKNOWN = "unknown"
LEVEL = 0.005  # a smaller change counts as none
NOTHING = "Nothing was played yet"
WEEKDAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")


def findings(figures: Figures) -> dict[str, str]:
    """Return a sentence for each chart, by the chart's name, in the order of the page."""
    sentences: dict[str, Callable[[Figures], str]] = {
        "plays": plays,
        "genres": genres,
        "weekdays": weekdays,
        "listeners": listeners,
        "diversity": diversity,
        "ages": ages,
        "artists": artists,
    }
    if not figures.genres or not figures.hours:
        return dict.fromkeys(sentences, NOTHING)
    return {name: sentence(figures) for name, sentence in sentences.items()}


def plays(figures: Figures) -> str:
    """Compare the plays of the newest 7 days with those of the 7 days before."""
    last, (now, before) = figures.genres[-1].listen_date, weeks(figures.genres)
    total, earlier = sum(row.plays for row in now), sum(row.plays for row in before)
    if not earlier:
        return f"{number(total)} plays in the {DAYS} days to {day(last)}"
    days, days_before = len({row.listen_date for row in now}), len({row.listen_date for row in before})
    sentence = f"Plays {change(total / earlier - 1)} in the {DAYS} days to {day(last)}"
    # A fall may come only from missing days, so the sentence names their number.
    return f"{sentence} ({days} with plays, {days_before} the week before)" if days != days_before else sentence


def listeners(figures: Figures) -> str:
    """Name the hour with most listeners in the newest 7 days."""
    recent = [row for row in figures.hours if row.listen_date > figures.hours[-1].listen_date - NEWEST]
    most = max(recent, key=lambda row: (row.listeners, row.listen_date, row.listen_hour))
    return f"Most listen at {clock(most.listen_hour)} on {day(most.listen_date)}: {number(most.listeners)} in one hour"


def weekdays(figures: Figures) -> str:
    """Name the hour of the week with most plays per day, over all dates."""
    totals = Counter[tuple[int, int]]()
    for row in figures.hours:
        totals[row.listen_date.weekday(), row.listen_hour] += row.plays
    days = Counter(listen_date.weekday() for listen_date in {row.listen_date for row in figures.hours})
    weekday, hour = max(totals, key=lambda key: (totals[key] / days[key[0]], key))
    mean = round(totals[weekday, hour] / days[weekday])
    return f"{WEEKDAYS[weekday]} at {clock(hour)} are busiest: {number(mean)} plays a day"


def genres(figures: Figures) -> str:
    """Name the genre with most plays in the newest 7 days, and the genre that has gained most plays."""
    now, before = (plays_by_genre(rows) for rows in weeks(figures.genres))
    last = figures.genres[-1].listen_date
    known = {genre: count for genre, count in now.items() if genre != UNKNOWN}
    if not known:
        return f"No genre is known of what was played in the {DAYS} days to {day(last)}"
    first = max(known, key=lambda genre: (known[genre], genre))
    sentence = f"{first} led the {DAYS} days to {day(last)} with {known[first] / sum(now.values()):.1%} of plays"
    gains = {genre: count - before.get(genre, 0) for genre, count in known.items()}
    gainer = max(gains, key=lambda genre: (gains[genre], genre))
    if before and gains[gainer] > 0:
        sentence += f"; {'it' if gainer == first else gainer} gained most, {number(gains[gainer])} plays"
    return sentence


def diversity(figures: Figures) -> str:
    """Compare the diversity of the newest date with that of the date before."""
    weighted, totals = defaultdict[date, float](float), Counter[date]()
    for row in figures.hours:
        weighted[row.listen_date] += row.diversity_index * row.plays
        totals[row.listen_date] += row.plays
    *earlier, last = sorted(totals)
    newest = weighted[last] / totals[last]
    if not earlier:
        return f"Diversity was {newest:.3f} on {day(last)}"
    moved = newest - weighted[earlier[-1]] / totals[earlier[-1]]
    direction = "as on" if abs(moved) < LEVEL / 10 else f"{abs(moved):.3f} {'above' if moved > 0 else 'below'}"
    return f"Diversity was {newest:.3f} on {day(last)}, {direction} {day(earlier[-1])}"


def ages(figures: Figures) -> str:
    """Name the age group that has led most hours, over all dates."""
    led = Counter(row.most_engaged_age_group for row in figures.hours if row.most_engaged_age_group is not None)
    if not led:
        return "No listener's age is known"
    group = leader(led)
    return f"Ages {group} led {led[group] / led.total():.0%} of the hours"


def artists(figures: Figures) -> str:
    """Name the artist that has led most hours, over all dates."""
    led = Counter(row.top_artist for row in figures.hours if row.top_artist is not None)
    if not led:
        return "No artist is known of what was played"
    artist = leader(led)
    return f"{artist} led most hours: {number(led[artist])} of {number(len(figures.hours))}"


def leader(led: Counter[str]) -> str:
    """Return the name that has led most hours; if several have, the last in alphabetical order."""
    return max(led, key=lambda name: (led[name], name))


def weeks(rows: Iterable[GenreOfDate]) -> tuple[list[GenreOfDate], list[GenreOfDate]]:
    """Return the rows of the newest 7 days, and those of the 7 days before."""
    listed = list(rows)
    last = max(row.listen_date for row in listed)
    return (
        [row for row in listed if row.listen_date > last - NEWEST],
        [row for row in listed if last - 2 * NEWEST < row.listen_date <= last - NEWEST],
    )


def plays_by_genre(rows: Iterable[GenreOfDate]) -> Counter[str]:
    """Sum the plays of each genre."""
    total = Counter[str]()
    for row in rows:
        total[row.track_genre] += row.plays
    return total


def change(share: float) -> str:
    """Describe a change in words, such as `rose 12.3%`."""
    if abs(share) < LEVEL:
        return "stayed level"
    return f"{'rose' if share > 0 else 'fell'} {abs(share):.1%}"


def number(value: int) -> str:
    """Format a number with separators between thousands."""
    return f"{value:,}"


def day(value: date) -> str:
    """Format a date: 26 June 2024."""
    return f"{value.day} {value:%B %Y}"


def clock(hour: int) -> str:
    """Format an hour: 18:00 UTC."""
    return f"{hour:02}:00 UTC"
