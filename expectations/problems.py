"""Turn Great Expectations' results into sentences for people, which name the file, the line and the remedy."""

from collections.abc import Mapping, Sequence
from typing import Any

from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult

from contract.datasets import DATASETS
from expectations.report import MAX_EXAMPLE_LENGTH, MAX_EXAMPLES, Problem, Severity
from expectations.rows import Rows, shown
from expectations.scan import FileFacts

_SHOWN_EXAMPLES = 3
_SHOWN_COLUMNS_LENGTH = 400
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_OF_ROWS_LOOKED_AT = ("corrupt_records", "times_of_another_form")
_SEVERITIES: dict[str, Severity] = {"critical": "error", "warning": "warning", "info": "note"}
_KEYS = {dataset.name: dataset.unbroken[0] for dataset in DATASETS}


def problems_of_files(facts: Mapping[str, FileFacts], result: ExpectationSuiteValidationResult) -> list[Problem]:
    """Return the problems of files, given the result for the frame `files`, whose rows are `facts`."""
    names = {shown(name): name for name in facts} | dict(enumerate(facts))
    return [
        _problem_of_file(part, facts[names[index["source_file"] if isinstance(index, dict) else index]])
        for part in _unmet(result)
        for index in part.result["partial_unexpected_index_list"]
    ]


def _problem_of_file(part: ExpectationValidationResult, facts: FileFacts) -> Problem:
    fact = _configuration(part).kwargs["column"]
    found, examples, key = getattr(facts, fact), facts.examples.get(fact, []), _KEYS[facts.dataset]
    hints = [_hint(name, facts.columns) for name in facts.missing_columns]
    words = {
        **vars(facts),
        "key": key,
        "columns_shown": _cut(", ".join(facts.columns), _SHOWN_COLUMNS_LENGTH),
        "missing_shown": _listed(facts.missing_columns),
        "repeated_shown": " and ".join(map(repr, facts.repeated_columns)),
        "hint": "".join(f": {hint}" for hint in dict.fromkeys(hints) if hint),
        "rows_shown": rows_shown(facts.rows or 0, facts.rows_looked_at if fact in _OF_ROWS_LOOKED_AT else None),
    }
    column = facts.missing_columns[0] if fact == "missing_columns" else key if "key" in fact else None
    values = [(value, f"line {line:,}") for value, line in examples]
    return _problem(part, facts.source_file, column, found if examples else 1, values, **words)


def problems_of_rows(name: str, rows: Rows, result: ExpectationSuiteValidationResult) -> list[Problem]:
    """Return the problems of the rows of a file, or of all stream files together."""
    problems = []
    for part in _unmet(result):
        column = _configuration(part).kwargs.get("column", "listen_time").partition("::")[0].rpartition(".")[2]
        at = [rows.position(index) for index in part.result.get("partial_unexpected_index_list", [])]
        examples = [(rows.columns[column][row], rows.files[row], rows.lines[row]) for row in at[:MAX_EXAMPLES]]
        values = [
            (value, f"line {line:,}" if file == name else f"{file} line {line:,}") for value, file, line in examples
        ]
        of_rows = rows_shown(rows.landed, rows.looked_at)
        problems.append(
            _problem(part, name, column, part.result.get("unexpected_count", 1), values, rows_shown=of_rows)
        )
    return problems


def _problem(
    part: ExpectationValidationResult,
    name: str,
    of_column: str | None,
    count: int,
    values: Sequence[tuple[str | None, str]],
    **words: Any,
) -> Problem:
    configuration = _configuration(part)
    says, remedy = (
        configuration.meta[text].format(**words, count=count, shown=_shown(values, count))
        for text in ("says", "remedy")
    )
    is_of_file = says.startswith(("is ", "has ", "holds ", "begins ", "cannot "))
    finding = f"{name}{'' if is_of_file else ':'} {says}"
    return Problem(
        file=name,
        expectation=configuration.type,
        column=of_column,
        severity=_SEVERITIES[configuration.severity],
        finding=finding,
        message=f"{finding}{':' if is_of_file else ';'} {remedy}" if remedy else finding,
        unexpected_count=count,
        examples=tuple(_cut(value) for value, _ in values if value is not None),
    )


def _unmet(result: ExpectationSuiteValidationResult) -> list[ExpectationValidationResult]:
    return sorted(
        (part for part in result.results if not part.success), key=lambda part: _configuration(part).meta["order"]
    )


def _configuration(part: ExpectationValidationResult) -> Any:
    return part.expectation_config


def rows_shown(landed: int, looked_at: int | None) -> str:
    """Describe the rows that a count refers to."""
    if looked_at is not None and looked_at < landed:
        return f"the {looked_at:,} rows looked at, of {landed:,}"
    return "1 row" if landed == 1 else f"{landed:,} rows"


def _listed(columns: Sequence[str]) -> str:
    *others, last = [repr(column) for column in columns] or [""]
    return f"columns {', '.join(others)} and {last} are" if others else f"column {last} is"


def _cut(text: str, length: int = MAX_EXAMPLE_LENGTH) -> str:
    return text if len(text) <= length else f"{text[:length]}…"


def _shown(examples: Sequence[tuple[str | None, str]], count: int) -> str:
    shown = [place if value is None else f"{_cut(value)!r} ({place})" for value, place in examples[:_SHOWN_EXAMPLES]]
    return ", ".join(shown) + (", …" if count > len(shown) else "")


def _hint(missing: str, columns: Sequence[str]) -> str:
    for separator, word in _OTHER_SEPARATORS.items():
        if len(columns) == 1 and separator in columns[0]:
            return f"it is separated by {word}, CSV takes commas"
    for column in columns:
        if column.casefold() == missing.casefold():
            return f"'{column}' is not '{missing}', capitals count"
        if "".join(filter(str.isprintable, column)).strip() == missing:
            return f"{column!a} has characters that nobody sees"
    return ""
