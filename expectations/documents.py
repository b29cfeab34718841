"""A validation's report as files: JSON for programs, Data Docs for people."""

import html
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from expectations.gx import (
    DefaultJinjaPageView,
    ExpectationConfiguration,
    ExpectationSuiteValidationResult,
    ExpectationValidationResult,
    FailureSeverity,
    ValidationResultsPageRenderer,
)
from expectations.report import FileReport, ValidationReport

JSON = "application/json"
HTML = "text/html; charset=utf-8"

_PAGES = Path(__file__).parent / "pages"


def documents(report: ValidationReport) -> dict[str, tuple[bytes, str]]:
    """Return relative keys with content and content type; see `ValidationReport.as_documents`."""
    page_keys = dict(zip((file.name for file in report.files), _page_keys(report.files), strict=True))
    results = {file.name: file.result.to_json_dict() for file in report.files}  # type: ignore[no-untyped-call]
    contents = {
        "results.json": (_json(results), JSON),
        "summary.json": (_json(_summary(report)), JSON),
    }
    view = DefaultJinjaPageView(custom_views_directory=str(_PAGES))
    contents["index.html"] = (_index(view, report, page_keys), HTML)
    for file in report.files:
        contents[page_keys[file.name]] = (_page(view, file), HTML)
    return contents


def _page_keys(files: Iterable[FileReport]) -> list[str]:
    """Name a page for each file: what S3, URLs and file systems all take, and no name twice."""
    keys: list[str] = []
    for file in files:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "_", file.name.replace("/", "-")).lstrip(".") or "file"
        key = f"{stem}.html"
        if key in {*keys, "index.html"}:
            key = f"{stem}-{len(keys) + 1}.html"
        keys.append(key)
    return keys


def _json(content: Any) -> bytes:
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode()


def _summary(report: ValidationReport) -> dict[str, Any]:
    return {
        "passed": report.passed,
        "time": report.batch_time.isoformat(timespec="microseconds"),
        "message": report.summary(),
        "files": [
            {
                "name": file.name,
                "dataset": file.dataset,
                "passed": file.passed,
                "rows": file.rows,
                "columns": list(file.columns),
                "line_per_record": file.line_per_record,
                "problems": [
                    {
                        "severity": problem.severity,
                        "expectation": problem.expectation,
                        "column": problem.column,
                        "message": problem.message,
                        "unexpected_count": problem.unexpected_count,
                        "examples": list(problem.examples),
                    }
                    for problem in file.problems
                ],
            }
            for file in report.files
        ],
    }


def _index(view: DefaultJinjaPageView, report: ValidationReport, page_keys: dict[str, str]) -> bytes:
    template = view.env.get_template("index_of_files.j2")
    return template.render(report=report, page_keys=page_keys).encode()


def _page(view: DefaultJinjaPageView, file: FileReport) -> bytes:
    document = ValidationResultsPageRenderer().render(_escaped(file.result))
    overview = document.sections[0]
    overview.content_blocks = overview.content_blocks[1:2]  # the statistics; the page has a heading of its own
    page: str = view.render(document, template="page_of_file.j2", file=file)  # type: ignore[no-untyped-call]
    return page.encode()


def _escaped(result: ExpectationSuiteValidationResult) -> ExpectationSuiteValidationResult:
    """Return a copy in which no value is markup: Great Expectations puts values into its tables as they are."""
    return ExpectationSuiteValidationResult(
        success=result.success,
        results=[_escaped_result(part) for part in result.results],
        suite_name=result.suite_name,
        statistics=result.statistics,
        meta={"run_id": result.meta["run_id"]},
    )


def _escaped_result(result: ExpectationValidationResult) -> ExpectationValidationResult:
    details = dict(result.result)
    values, lines = details.get("partial_unexpected_list", []), details.get("partial_unexpected_index_list", [])
    if all(value is None for value in values):  # for what is missing the lines say more
        values = [f"line {line:,}" for line in lines]
        details["partial_unexpected_counts"] = []
    details["partial_unexpected_list"] = [_escaped_value(value) for value in values]
    details["partial_unexpected_counts"] = [
        {**count, "value": _escaped_value(count["value"])} for count in details.get("partial_unexpected_counts", [])
    ]
    configuration = result.expectation_config
    assert configuration is not None  # its type is wider than what comes out of a tally
    severity = "error" if configuration.severity == FailureSeverity.CRITICAL else "warning"
    badge = "" if result.success else f'<span class="badge badge-{severity}">{severity}</span> '
    return ExpectationValidationResult(
        success=result.success,
        expectation_config=ExpectationConfiguration(
            type=configuration.type,
            kwargs=dict(configuration.kwargs),
            description=badge + html.escape(configuration.description or ""),
            severity=configuration.severity,
        ),
        result=details,
    )


def _escaped_value(value: Any) -> Any:
    return html.escape(value) if isinstance(value, str) else value
