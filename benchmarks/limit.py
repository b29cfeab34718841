"""Compare the jobs' cost with a lower bound and with a naive solution: three contestants compute the same events.

The lower bound is one DuckDB process that does all the work; the naive solution is two straightforward Spark scripts.

The exit status is 1 if the results of the DuckDB process and of our jobs differ.
"""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks import contestants
from benchmarks.chart import chart
from benchmarks.comparison import differences
from benchmarks.figures import Figures, Round, sentences, table_of
from sandbox.sample_events import FIRST_DAY, write_sample_day

SHOWN_DIFFERENCES = 10

console = Console()


@dataclass(frozen=True)
class Settings:
    """The settings of the benchmark.

    Attributes:
        events: The numbers of events, one for each table.
        rounds: The number of measurements of each, of which the figures are medians.
        chart: The path of the chart, if one is wanted.
    """

    events: Sequence[int]
    rounds: int
    chart: Path | None = None


def main(settings: Settings) -> int:
    """Measure, print the figures, and return the exit status."""
    load = os.getloadavg()[0]
    console.print(f"{os.cpu_count()} cores; the load of the minute before was {load:.1f}")
    all_figures, all_the_same = [], True
    for events in settings.events:
        figures, different = _measure(events, settings.rounds)
        all_figures.append(figures)
        console.print(table_of(figures), *sentences(figures), "", sep="\n")
        if different:
            all_the_same = False
            console.print(f"The results differ in {len(different):,} places:", *different[:SHOWN_DIFFERENCES], sep="\n")
    if settings.chart:
        settings.chart.write_text(chart(all_figures), encoding="utf-8")
        console.print(f"The chart is in {settings.chart}")
    return 0 if all_the_same else 1


def _measure(events: int, rounds: int) -> tuple[Figures, list[str]]:
    """Run all rounds with a number of events; return the figures, and the differences between the results, if any."""
    measured, different = [], list[str]()
    for number in range(1, rounds + 1):
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            home, landed = Path(folder), Path(folder) / "landed"

            def status(what: str, number: int = number) -> str:
                return f"{events:,} events, round {number} of {rounds}: {what}"

            with console.status(status("making the events")):
                write_sample_day(landed, FIRST_DAY, events=events)
            with console.status(status("one DuckDB process")):
                one_process, their_results = contestants.run_one_process(landed, home)
            with console.status(status("two naive Spark scripts")):
                naive = contestants.run_naive_scripts(landed, home)
            with console.status(status("validation and our jobs")):
                ours = contestants.run_our_jobs(landed, home)
            measured.append(Round(one_process, naive, ours.steps, ours.s3_server))
            different += differences(ours.results, their_results)
    return Figures(events, tuple(measured)), different
