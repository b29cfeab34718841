"""What a validation takes and what it tells: plain records, free of pandas and Great Expectations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, BinaryIO, Literal

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult

Dataset = Literal["songs", "users", "user_streams"]
Severity = Literal["error", "warning"]

MAX_EXAMPLES = 20
MAX_EXAMPLE_LENGTH = 200
MAX_SUMMARY_LINES = 50


@dataclass(frozen=True)
class LandedFile:
    """A CSV file of the batch.

    Attributes:
        dataset: Which suite it must meet.
        name: As messages show it: `user_streams/2024-06-25.csv`, `songs.csv`.
        open: Gives a fresh stream of the file's bytes; it is read once, from front to back, and closed.
    """

    dataset: Dataset
    name: str
    open: Callable[[], BinaryIO]


@dataclass(frozen=True)
class Problem:
    """One expectation that a file does not meet. Errors fail the batch; warnings are told and counted.

    Attributes:
        message: A sentence that names file, cause, values and, for an error, the way out.
        unexpected_count: How many rows (or columns, for faults of the header) are meant.
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
    """What is known of one file.

    Attributes:
        rows: Records after the header, blank lines left out.
        header: The first line as it stands, a BOM included, without its line end.
        columns: The header's names, blanks around them trimmed and the BOM removed.
        line_per_record: False when some line holds an odd number of `"`: a quoted line break, or a stray quote.
        result: Great Expectations' own result, one entry for each expectation.
    """

    name: str
    dataset: Dataset
    rows: int
    header: str
    columns: tuple[str, ...]
    line_per_record: bool
    problems: tuple[Problem, ...]
    result: "ExpectationSuiteValidationResult" = field(repr=False, compare=False)

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def passed(self) -> bool:
        """No error; warnings do not count."""
        return not self.errors


@dataclass(frozen=True)
class ValidationReport:
    """What is known of all files of a batch, those that should be there and are not included."""

    batch_time: datetime
    files: Sequence[FileReport]

    @property
    def problems(self) -> tuple[Problem, ...]:
        return tuple(problem for file in self.files for problem in file.problems)

    @property
    def passed(self) -> bool:
        """No error in any file; warnings do not count."""
        return all(file.passed for file in self.files)

    def summary(self) -> str:
        """Tell in a few lines what is amiss: errors first, then warnings, at the end the way out."""
        errors = [problem for problem in self.problems if problem.severity == "error"]
        warnings = [problem for problem in self.problems if problem.severity == "warning"]
        refused = sum(not file.passed for file in self.files)
        lines = [
            f"Validation of {_count(len(self.files), 'file')} {'passed' if self.passed else 'failed'}: "
            + (f"{_count(len(errors), 'error')} in {_count(refused, 'file')}, " if errors else "")
            + _count(len(warnings), "warning")
        ]
        for title, problems in (("ERROR", errors), ("warning", warnings)):
            lines += [f"{title:7} {problem.message}" for problem in problems[:MAX_SUMMARY_LINES]]
            if len(problems) > MAX_SUMMARY_LINES:
                lines.append(f"{title:7} and {len(problems) - MAX_SUMMARY_LINES:,} more: see the validation's results")
        if errors:
            lines.append(
                "Way out: mend the files named under ERROR and land them again, or remove stream files; then run again."
            )
        return "\n".join(lines)

    def as_documents(self) -> dict[str, tuple[bytes, str]]:
        """Return the report for people and programs: relative keys, with content and content type.

        `results.json` holds Great Expectations' results by file, `summary.json` the problems; `index.html` leads to a
        Data Docs page for each file. The pages need nothing beside them.
        """
        from expectations.documents import documents  # noqa: PLC0415 - imports Great Expectations

        return documents(self)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
