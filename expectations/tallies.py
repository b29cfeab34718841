"""Great Expectations' results for the chunks of a file, combined into its result for the file."""

import math
from collections import Counter
from typing import Any

from expectations.frames import subject
from expectations.gx import Expectation, ExpectationConfiguration, ExpectationValidationResult
from expectations.records import Oddities
from expectations.report import MAX_EXAMPLE_LENGTH, MAX_EXAMPLES

_COUNTS = ("element_count", "unexpected_count", "missing_count", "observed_value")


class Tally:
    """What one expectation found so far, over all chunks of a file."""

    def __init__(self, expectation: Expectation) -> None:
        self.expectation = expectation
        self._success = True
        self._counts: Counter[str] = Counter()
        self._values: list[Any] = []
        self._lines: list[int] = []

    def add(self, result: ExpectationValidationResult) -> None:
        """Take in the result for one chunk."""
        details = result.result
        self._success = self._success and bool(result.success)
        self._counts.update({name: details[name] for name in _COUNTS if name in details})
        room = MAX_EXAMPLES - len(self._lines)
        self._values += [readable(value) for value in details.get("partial_unexpected_list", [])[:room]]
        self._lines += [int(line) for line in details.get("partial_unexpected_index_list", [])[:room]]

    def add_lines(self, oddities: Oddities) -> None:
        """Take in the first lines that reading the file found amiss."""
        self._lines += [line for line, _ in oddities.first]
        self._values += [readable(text) for _, text in oddities.first]

    def result(self) -> ExpectationValidationResult:
        """Return the result for the file, in the shape of the result format SUMMARY."""
        details: dict[str, Any] = {name: self._counts[name] for name in _COUNTS if name in self._counts}
        if "unexpected_count" in details:
            rows, unexpected = details["element_count"], details["unexpected_count"]
            details["unexpected_percent"] = _percent(unexpected, rows - details.get("missing_count", 0))
            if "missing_count" in details:
                details["missing_percent"] = _percent(details["missing_count"], rows)
                details["unexpected_percent_total"] = _percent(unexpected, rows)
                details["unexpected_percent_nonmissing"] = details["unexpected_percent"]
        if "unexpected_count" in details or self._values:
            counts = Counter(value for value in self._values if value is not None)
            details |= {
                "partial_unexpected_list": self._values,
                "partial_unexpected_index_list": self._lines,
                "partial_unexpected_counts": [{"value": value, "count": n} for value, n in counts.most_common()],
            }
        return ExpectationValidationResult(
            success=self._success, expectation_config=_for_reading(self.expectation), result=details
        )


def readable(value: Any) -> str | int | float | None:
    """Return a value as results and messages show it: JSON has no NaN, and no reader wants a megabyte."""
    if isinstance(value, str):
        return value if len(value) <= MAX_EXAMPLE_LENGTH else f"{value[:MAX_EXAMPLE_LENGTH]}…"
    if value is None or math.isnan(value):
        return None
    return int(value) if float(value).is_integer() else float(value)


def _for_reading(expectation: Expectation) -> ExpectationConfiguration:
    configuration = expectation.configuration
    kwargs = {name: value for name, value in configuration.kwargs.items() if name != "batch_id"}
    if "column" in kwargs:
        kwargs["column"] = subject(kwargs["column"])
    return ExpectationConfiguration(
        type=configuration.type,
        kwargs=kwargs,
        meta=configuration.meta,
        description=expectation.description,
        severity=expectation.severity,
    )


def _percent(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None
