"""Report the contestants' usage: a table, in Markdown for the docs, and the ratios with their limits."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from rich import box
from rich.table import Table

from benchmarks.contestants import NAIVE_SCRIPTS, VALIDATION
from benchmarks.process_tree import Usage

ONE_PROCESS = "one DuckDB process"
OUR_JOBS = "our jobs"
NAIVE = "two naive Spark scripts"
S3_SERVER = "the sandbox's S3"

MEGABYTE = 1e6


@dataclass(frozen=True)
class Limits:
    """The limits on the cost of a number of events on two cores.

    Attributes:
        times_one_process: The jobs' CPU time, as a multiple of that of the one DuckDB process.
        times_naive: The jobs' CPU time, as a multiple of that of the naive scripts.
        cpu_seconds: The jobs' CPU time.
        job_megabytes: The peak memory of any one job.
        validation_seconds: The wall-clock time of validation.
        validation_megabytes: The peak memory of validation.
    """

    times_one_process: float | None = None
    times_naive: float | None = None
    cpu_seconds: float | None = None
    job_megabytes: float = 2_000
    validation_seconds: float | None = None
    validation_megabytes: float = 700


LIMITS = {
    10_000_000: Limits(6, 0.2, cpu_seconds=140, validation_seconds=15),
    50_000_000: Limits(4.5, 0.2),
}


@dataclass(frozen=True)
class Round:
    """The usage of the contestants in one round.

    Attributes:
        one_process: The usage of the DuckDB process.
        naive: The usage of each naive script, by its name.
        ours: The usage of each step, by its name, validation first.
        s3_server: The usage of the sandbox's S3 during these steps.
    """

    one_process: Usage
    naive: Mapping[str, Usage]
    ours: Mapping[str, Usage]
    s3_server: Mapping[str, Usage]

    @property
    def jobs(self) -> dict[str, Usage]:
        """The usage of our steps without validation, which the other contestants do not have."""
        return {name: usage for name, usage in self.ours.items() if name != VALIDATION}

    @property
    def times_one_process(self) -> float:
        return Usage.in_turn(self.jobs.values()).cpu_seconds / self.one_process.cpu_seconds

    @property
    def times_naive(self) -> float:
        return Usage.in_turn(self.jobs.values()).cpu_seconds / Usage.in_turn(self.naive.values()).cpu_seconds


@dataclass(frozen=True)
class Figures:
    """The rounds of one number of events; the reported figures are medians."""

    events: int
    rounds: tuple[Round, ...]

    def one_process(self) -> Usage:
        return Usage.median(each.one_process for each in self.rounds)

    def job(self, name: str) -> Usage:
        return Usage.median(each.ours[name] for each in self.rounds)

    def jobs(self) -> dict[str, Usage]:
        return {name: self.job(name) for name in self.rounds[0].jobs}

    def all_jobs(self) -> Usage:
        return Usage.median(Usage.in_turn(each.jobs.values()) for each in self.rounds)

    def naive(self) -> dict[str, Usage]:
        return {name: Usage.median(each.naive[name] for each in self.rounds) for name in NAIVE_SCRIPTS}

    def all_naive(self) -> Usage:
        return Usage.median(Usage.in_turn(each.naive.values()) for each in self.rounds)

    def s3_server(self, names: Iterable[str]) -> Usage:
        return Usage.median(Usage.in_turn(each.s3_server[name] for name in names) for each in self.rounds)

    def times_one_process(self) -> float:
        return median(each.times_one_process for each in self.rounds)

    def times_naive(self) -> float:
        return median(each.times_naive for each in self.rounds)


def table_of(figures: Figures) -> Table:
    """Return the table of one number of events."""
    table = Table(box=box.MARKDOWN)
    table.add_column(f"{figures.events:,} events", no_wrap=True)
    for heading in ("CPU s", "ratio", "wall s", "peak MB"):
        table.add_column(heading, justify="right")
    one = figures.one_process()
    jobs = figures.jobs()
    rows = [(ONE_PROCESS, one), *jobs.items(), (OUR_JOBS, figures.all_jobs())]
    rows += [*figures.naive().items(), (NAIVE, figures.all_naive())]
    rows += [(VALIDATION, figures.job(VALIDATION))]
    rows += [(f"{S3_SERVER}, during the jobs", figures.s3_server(jobs))]
    rows += [(f"{S3_SERVER}, during validation", figures.s3_server([VALIDATION]))]
    for name, usage in rows:
        table.add_row(
            name,
            f"{usage.cpu_seconds:.1f}",
            f"{usage.cpu_seconds / one.cpu_seconds:.2f}",
            f"{usage.seconds:.1f}",
            f"{usage.peak_bytes / MEGABYTE:,.0f}",
        )
    return table


def sentences(figures: Figures) -> Iterator[str]:
    """Yield the ratios, each with its limit if this number of events has limits."""
    limits = LIMITS.get(figures.events, Limits())
    jobs, validation = figures.all_jobs(), figures.job(VALIDATION)
    yield (
        f"Our jobs take {figures.times_one_process():.2f} times the CPU time of one DuckDB process"
        f"{_allowed(limits.times_one_process)}, and {figures.times_naive():.2f} times that of the two naive "
        f"scripts{_allowed(limits.times_naive)}: {jobs.cpu_seconds:.0f} CPU seconds"
        f"{_allowed(limits.cpu_seconds)}."
    )
    yield (
        f"The largest of them holds {jobs.peak_bytes / MEGABYTE:,.0f} MB{_allowed(limits.job_megabytes)}. "
        f"Validation takes {validation.seconds:.1f} seconds{_allowed(limits.validation_seconds)} and holds "
        f"{validation.peak_bytes / MEGABYTE:,.0f} MB{_allowed(limits.validation_megabytes)}."
    )


def _allowed(limit: float | None) -> str:
    return "" if limit is None else f" ({limit:,.10g} allowed)"
