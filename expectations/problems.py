"""Sentences about the expectations that a file does not meet."""

from collections.abc import Sequence

from expectations.gx import ExpectationValidationResult, FailureSeverity
from expectations.report import Problem

_SHOWN_EXAMPLES = 3
_SHOWN_COLUMNS_LENGTH = 400
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def problems_of(
    name: str, columns: Sequence[str], rows: int, results: Sequence[ExpectationValidationResult]
) -> list[Problem]:
    """Return a problem for each of the `results` for a file that is not a success, errors first."""
    problems = [_problem(name, columns, rows, result) for result in results if not result.success]
    return sorted(problems, key=lambda problem: problem.severity)


def _problem(name: str, columns: Sequence[str], rows: int, result: ExpectationValidationResult) -> Problem:
    configuration, details = result.expectation_config, result.result
    assert configuration is not None  # its type is wider than what comes out of a tally
    column: str | None = configuration.kwargs.get("column")
    unmet, remedy = configuration.meta["unmet"], configuration.meta["remedy"]
    values = details.get("partial_unexpected_list", [])
    lines = details.get("partial_unexpected_index_list", [])
    count = details.get("unexpected_count", details.get("observed_value", 1))
    if configuration.type == "expect_column_to_exist" and column:
        message = f"{name}: {unmet} (has: {_listed(columns)}){_hint(column, columns)}"
    elif "unexpected_count" in details:
        message = f"{name}: {unmet} in {count:,} of {_rows(rows)}: {_shown(values, lines, count)}"
    else:
        message = f"{name} {unmet}"
    if remedy:
        message += f"; {remedy}" if message.startswith(f"{name}:") else f": {remedy}"
    return Problem(
        file=name,
        expectation=configuration.type,
        column=column,
        severity="error" if configuration.severity == FailureSeverity.CRITICAL else "warning",
        message=message,
        unexpected_count=count,
        examples=tuple(str(value) for value in values if value is not None),
    )


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _shown(values: Sequence[object], lines: Sequence[int], count: int) -> str:
    shown = [
        f"line {line:,}" if value is None else f"{value!r} (line {line:,})"
        for value, line in zip(values[:_SHOWN_EXAMPLES], lines, strict=False)
    ]
    return ", ".join(shown) + (", …" if count > len(shown) else "")


def _listed(columns: Sequence[str]) -> str:
    text = ", ".join(columns) or "nothing"
    return text if len(text) <= _SHOWN_COLUMNS_LENGTH else f"{text[:_SHOWN_COLUMNS_LENGTH]}…"


def _hint(missing: str, columns: Sequence[str]) -> str:
    if len(columns) == 1:
        for separator, word in _OTHER_SEPARATORS.items():
            if separator in columns[0]:
                return f": it is separated by {word}, CSV takes commas"
    for column in columns:
        if column.casefold() == missing.casefold():
            return f": '{column}' is not '{missing}', capitals count"
        if "".join(filter(str.isprintable, column)).strip() == missing:
            return f": {column!a} has characters that nobody sees"
    return ""
