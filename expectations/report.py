"""Input and result of a validation: plain records that need neither pandas nor Great Expectations."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO, Literal

Severity = Literal["error", "warning"]

MAX_EXAMPLES = 20
MAX_EXAMPLE_LENGTH = 200
MAX_SUMMARY_LINES = 50


@dataclass(frozen=True)
class LandedFile:
    """A file of the batch.

    Attributes:
        dataset: songs, users or user_streams.
        name: As messages show it: `user_streams/2024-06-25.csv`, `songs.csv`; compressed if it ends in `.gz`.
        open: Gives a fresh stream of the file's bytes, which is closed after use; called once or twice.
    """

    dataset: str
    name: str
    open: Callable[[], BinaryIO]


@dataclass(frozen=True)
class Ignored:
    """An object below the landing prefix that belongs to no dataset."""

    key: str
    reason: str


@dataclass(frozen=True)
class Problem:
    """One expectation that a file is not as it should be. Errors fail the batch; warnings are told.

    Attributes:
        file: The file's name; `user_streams` for what concerns the rows of all stream files.
        message: A sentence that names file, cause, line, values and what follows, for an error the way out.
        unexpected_count: How many rows are meant; 1 for what concerns the file as a whole.
        examples: The first offending values, at most MAX_EXAMPLES, cut to a readable length.
    """

    file: str
    expectation: str
    column: str | None
    severity: Severity
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
        """No error; warnings do not count."""
        return not self.errors


@dataclass(frozen=True)
class RowsReport:
    """Of the rows of all stream files together: how many landed, how many of them were `judged`, what is amiss."""

    judged: int
    landed: int
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class ValidationReport:
    """What is known of all files of a batch, those that should be there and are not included.

    Attributes:
        results: Great Expectations' own result for each suite.
        data_docs: The files of the site that Great Expectations built of these.
    """

    batch_time: datetime
    files: Sequence[FileReport]
    stream_rows: RowsReport
    ignored: Sequence[Ignored]
    results: Mapping[str, Any] = field(repr=False)
    data_docs: Mapping[str, bytes] = field(repr=False)

    @property
    def problems(self) -> tuple[Problem, ...]:
        return (*(problem for file in self.files for problem in file.problems), *self.stream_rows.problems)

    @property
    def passed(self) -> bool:
        """No error in any file; warnings do not count."""
        return all(file.passed for file in self.files)

    def summary(self) -> str:
        """Summarise the problems in a few lines: errors, warnings, ignored objects, and what to do."""
        errors = [problem.message for problem in self.problems if problem.severity == "error"]
        warnings = [problem.message for problem in self.problems if problem.severity == "warning"]
        refused = _count(sum(not file.passed for file in self.files), "file")
        told = f"{_count(len(errors), 'error')} in {refused}, " if errors else ""
        outcome = "passed" if self.passed else "failed"
        lines = [f"Validation of {_count(len(self.files), 'file')} {outcome}: {told}{_count(len(warnings), 'warning')}"]
        left = [f"{ignored.key} {ignored.reason}" for ignored in self.ignored]
        for title, messages in (("ERROR", errors), ("warning", warnings), ("left", left)):
            lines += [f"{title:7} {message}" for message in messages[:MAX_SUMMARY_LINES]]
            if len(messages) > MAX_SUMMARY_LINES:
                lines.append(f"{title:7} and {len(messages) - MAX_SUMMARY_LINES:,} more: see the validation's results")
        remedy = (
            "Way out: mend the files named under ERROR and land them again, or remove stream files; then run again."
        )
        return "\n".join([*lines, remedy] if errors else lines)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
