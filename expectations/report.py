"""The input and the result of a validation: plain records that need neither pandas nor Great Expectations."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO, Literal

Severity = Literal["error", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
MAX_EXAMPLES = 20
MAX_EXAMPLE_LENGTH = 200
MAX_SUMMARY_LINES = 50


@dataclass(frozen=True)
class LandedFile:
    """A file of the batch.

    Attributes:
        dataset: songs, users or user_streams.
        name: The name in messages: `user_streams/2024-06-25.csv`, `songs.csv`; `.gz` marks a compressed file.
        open: Returns a new stream of the file's bytes, which the caller closes; called once or twice.
    """

    dataset: str
    name: str
    open: Callable[[], BinaryIO]


@dataclass(frozen=True)
class UnreadFile:
    """A file of the batch that cannot be read; the reason is the rest of a sentence that begins with its name."""

    dataset: str
    name: str
    reason: str


@dataclass(frozen=True)
class Ignored:
    """An object below the landing prefix that belongs to no dataset."""

    key: str
    reason: str


@dataclass(frozen=True)
class Problem:
    """One expectation that a file does not meet. Errors refuse the file, warnings are reported, notes stay in results.

    Attributes:
        file: The file's name; `user_streams` if the problem is one of the rows of all stream files.
        finding: A sentence that names file, cause, line and values.
        message: The finding and its consequence; for an error, the remedy.
        unexpected_count: The number of rows that do not meet it; 1 if the problem is one of the whole file.
        examples: The first offending values, at most MAX_EXAMPLES, cut to a readable length.
    """

    file: str
    expectation: str
    column: str | None
    severity: Severity
    finding: str
    message: str
    unexpected_count: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class FileReport:
    """The result for one file; `FileFacts` explains its attributes."""

    name: str
    dataset: str
    rows: int
    header: str
    columns: tuple[str, ...]
    line_per_record: bool
    compression: str | None
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def passed(self) -> bool:
        """Whether the file has no errors; warnings do not count."""
        return not self.errors


@dataclass(frozen=True)
class RowsReport:
    """The result for the rows of all stream files together: the number landed, the number `judged`, the problems."""

    judged: int
    landed: int
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class ValidationReport:
    """The validation results of all files of a batch, including files that are required and missing.

    Attributes:
        moves_refused: Whether refused stream files move to quarantine, so that the run goes on without them.
        results: Great Expectations' own result for each suite.
        data_docs: The files of the site that Great Expectations built from these results.
    """

    batch_time: datetime
    files: Sequence[FileReport]
    stream_rows: RowsReport
    ignored: Sequence[Ignored]
    results: Mapping[str, Any] = field(repr=False)
    data_docs: Mapping[str, bytes] = field(repr=False)
    moves_refused: bool = False

    @property
    def problems(self) -> tuple[Problem, ...]:
        return (*(problem for file in self.files for problem in file.problems), *self.stream_rows.problems)

    @property
    def passed(self) -> bool:
        """Whether the run goes on: no file has an error, or the files with errors move to quarantine."""
        return self.moves_refused or not self.refused

    @property
    def refused(self) -> tuple[FileReport, ...]:
        """The files with errors."""
        return tuple(file for file in self.files if not file.passed)

    def reported(self) -> list[tuple[str, str]]:
        """Return each problem as its kind (error or refused, warning, note) and a sentence."""
        return [
            ("refused", problem.finding)
            if self.moves_refused and problem.severity == "error"
            else (problem.severity, problem.message)
            for problem in by_severity(self.problems)
        ]

    def summary(self) -> str:
        """Summarise the problems in a few lines: errors, warnings, ignored objects, and the remedy."""
        left = [("left", f"{ignored.key} {ignored.reason}") for ignored in self.ignored]
        sentences: dict[str, list[str]] = {kind: [] for kind in ("error", "refused", "warning", "left", "note")}
        for kind, sentence in (*self.reported(), *left):
            sentences[kind].append(sentence)
        del sentences["note"]
        outcome = "passed" if self.passed else "failed"
        if self.moves_refused and self.refused:
            outcome = f"passed, but for {_count(len(self.refused), 'refused file')}"
        errors = len(sentences["error"] + sentences["refused"])
        found = f"{_count(errors, 'error')} in {_count(len(self.refused), 'file')}, " if errors else ""
        warnings = _count(len(sentences["warning"]), "warning")
        lines = [f"Validation of {_count(len(self.files), 'file')} {outcome}: {found}{warnings}"]
        for kind, messages in sentences.items():
            title = "ERROR" if kind == "error" else kind
            lines += [f"{title:7} {message}" for message in messages[:MAX_SUMMARY_LINES]]
            if len(messages) > MAX_SUMMARY_LINES:
                lines.append(f"{title:7} and {len(messages) - MAX_SUMMARY_LINES:,} more: see the validation's results")
        remedy = "Way out: fix the files named under ERROR and land them again, or remove stream files; then run again."
        return "\n".join(lines if self.passed else [*lines, remedy])


def by_severity(problems: Iterable[Problem]) -> list[Problem]:
    """Sort problems: errors, warnings, notes."""
    return sorted(problems, key=lambda problem: SEVERITIES.index(problem.severity))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
