"""Measure whether a year of daily runs makes a day's run slower: run the same days with and without this history.

Two days are run. All events of the *punctual* day are of that day; its run is compared with one on an empty lake. The
*usual* day brings late and repeated events of the seven days before. Its run has to compute all events of these days
again, however old the lake is; so it is compared with a run after ten days.

The exit status is 1 if the year makes one of the two runs more than a tenth slower.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.day import Boto3Requests, Cost, Lake, batch_of
from benchmarks.past import Events, Files, Past, dates_of, object_store
from contract import layout
from contract.kpi_tables import KPI_TABLES
from sandbox.aws.endpoint import AwsEndpoint
from sandbox.sample_catalogue import Catalogue
from sandbox.sample_events import DEFAULT_EVENTS, DEFAULT_FILES, FIRST_DAY, SampleEvents

YEAR, TEN_DAYS = 365, 10
TODAY = FIRST_DAY + timedelta(days=YEAR)
EVENTS_OF_OLDER_DAYS = 1_000  # the last ten days have as many as today; today's run does not read older days
ROUNDS = 5
LIMIT = 1.1

Costs = Mapping[str, Cost]
"""Of each step of a run."""

console = Console()


@dataclass(frozen=True)
class Comparison:
    """A day that is run with a year of history and without.

    Attributes:
        title: The name of the comparison.
        files: The files that land on the day.
        without: The lake without the year of history, and the events that it holds.
        year: The lake with a year of history, and the events that it holds.
        costs: The costs of the runs so far, without and with the history.
    """

    title: str
    files: Files
    without: tuple[Lake, Events]
    year: tuple[Lake, Events]
    costs: list[tuple[Costs, Costs]] = field(default_factory=list)

    def run(self, number: int) -> None:
        """Run the day on both lakes, which take turns in being first."""
        costs = {}
        for lake_of_events, events in [self.without, self.year][:: 1 if number % 2 else -1]:
            with console.status(f"{self.title}: round {number} of {ROUNDS}, {lake_of_events.bucket.name}"):
                costs[lake_of_events.bucket.name] = _run_day(lake_of_events, TODAY, self.files, events.copy())
                lake_of_events.forget(TODAY)
        if number:  # the first round does not count, since it imports modules
            self.costs.append((costs[self.without[0].bucket.name], costs[self.year[0].bucket.name]))


def main() -> int:
    """Build the histories, run the days several times, and print their costs."""
    with (
        tempfile.TemporaryDirectory() as folder,
        AwsEndpoint(Path(folder) / "aws") as endpoint,
    ):
        os.environ.update(endpoint.environment())
        requests = Boto3Requests()
        empty, ten_days, year = (Lake(bucket, requests) for bucket in ("empty", "ten-days", "year"))
        sample = SampleEvents(_land_reference_tables(empty, ten_days, year))
        with console.status("Building a year of history"):
            of_ten_days, of_year = _build(endpoint, sample, {ten_days: TEN_DAYS, year: YEAR})
        console.print(f"The year's runs have left {len(list(year.stored())):,} objects")
        usual = _files(sample, TODAY, DEFAULT_EVENTS)
        punctual = {name: _only_of(TODAY, content) for name, content in usual.items()}
        comparisons = (
            Comparison("Punctual day, on an empty lake → after a year", punctual, (empty, Events()), (year, of_year)),
            Comparison("Usual day, after ten days → after a year", usual, (ten_days, of_ten_days), (year, of_year)),
        )
        for number in range(ROUNDS + 1):
            for comparison in comparisons:
                comparison.run(number)
    ratios = [_tell(comparison) for comparison in comparisons]
    return 1 if max(ratios) > LIMIT else 0


def _land_reference_tables(*buckets: Lake) -> Catalogue:
    catalogue = Catalogue()
    with tempfile.TemporaryDirectory() as folder:
        songs, users = Path(folder) / "songs.csv", Path(folder) / "users.csv"
        catalogue.write_songs(songs)
        catalogue.write_users(users)
        for bucket in buckets:
            bucket.s3.create_bucket(Bucket=bucket.bucket.name)
            bucket.put(layout.SONGS, songs.read_bytes())
            bucket.put(layout.USERS, users.read_bytes())
    return catalogue


def _build(endpoint: AwsEndpoint, sample: SampleEvents, days: Mapping[Lake, int]) -> list[Events]:
    """Fill each lake with the objects of its number of daily runs; return the events that the lakes hold."""
    histories = []
    for bucket, number in days.items():
        events = Events()
        first = TODAY - timedelta(days=number)
        _run_day(bucket, first, _files(sample, first, DEFAULT_EVENTS), events)
        histories.append((Past(first, bucket, events), number, events))
    endpoint.port = int(endpoint.url.rpartition(":")[2])  # its clients keep this address
    endpoint.stop()
    store = object_store(endpoint.home)
    for past, number, _ in histories:
        for days_back in range(number - 1, 0, -1):
            size = DEFAULT_EVENTS if days_back <= TEN_DAYS else EVENTS_OF_OLDER_DAYS
            day = TODAY - timedelta(days=days_back)
            past.write(store, day, _files(sample, day, size))
    endpoint.start()
    return [events for _, _, events in histories]


def _only_of(day: date, content: bytes) -> bytes:
    header, *rows = content.splitlines(keepends=True)
    return header + b"".join(row for row in rows if day.isoformat().encode() in row)


def _files(sample: SampleEvents, day: date, events: int) -> Files:
    contents = sample.files(day, events, DEFAULT_FILES)
    return {f"{day.isoformat()}_part{number}.csv": b"".join(pieces) for number, pieces in enumerate(contents, start=1)}


def _run_day(bucket: Lake, day: date, files: Files, events: Events) -> Costs:
    """Land and run a day; check that the KPIs count these files and the earlier `events`, and nothing else."""
    for name, content in files.items():
        bucket.put(f"{layout.USER_STREAMS}/{name}", content)
    costs = bucket.run(day)
    new = events.accept(files.values())
    record = bucket.record(layout.BatchFolder(batch_of(day)).curation_record)
    assert record["accepted_by_date"] == {listen_date: len(rows) for listen_date, rows in new.items()}
    assert record["dates"] == dates_of(files.values())
    assert record["covers"] == []
    for table in KPI_TABLES:
        computed = bucket.record(table.copy_manifest(batch_of(day)))["dates"]
        plays = {listen_date: counts["plays"] for listen_date, counts in computed.items()}
        assert plays == events.plays(record["dates"])
    return costs


def _tell(comparison: Comparison) -> float:
    """Print the cost of each step (medians of the rounds); return how many times as long the day takes with history."""
    table = Table("step", title=comparison.title)
    for heading in ("seconds", "ratio", "CPU seconds", "ratio", "S3 requests", "of these listings"):
        table.add_column(heading, justify="right")
    rounds = comparison.costs
    steps = {step: [(without[step], year[step]) for without, year in rounds] for step in rounds[0][0]}
    day = [(Cost.total(without.values()), Cost.total(year.values())) for without, year in rounds]
    for step, costs in [*steps.items(), ("the day", day)]:
        without, year = (Cost.median(side) for side in zip(*costs, strict=True))
        table.add_row(
            step,
            f"{without.seconds:.2f} → {year.seconds:.2f}",
            f"{_ratio(costs, 'seconds'):.2f}",
            f"{without.cpu_seconds:.2f} → {year.cpu_seconds:.2f}",
            f"{_ratio(costs, 'cpu_seconds'):.2f}",
            f"{without.requests:.0f} → {year.requests:.0f}",
            f"{without.listings:.0f} → {year.listings:.0f}",
        )
    console.print(table)
    ratio = _ratio(day, "cpu_seconds")
    console.print(f"In CPU seconds a year makes it {ratio:.2f} times as long; {LIMIT} is allowed.\n")
    return ratio


def _ratio(costs: Sequence[tuple[Cost, Cost]], what: str) -> float:
    """Return the median of the rounds' ratios, since other load on the machine slows both runs of a round."""
    return float(median(getattr(year, what) / getattr(without, what) for without, year in costs))
