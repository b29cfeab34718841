"""Write a validation's report as files: JSON for programs, a front page and Data Docs for people."""

import json
import mimetypes
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jinja2

from expectations.report import ValidationReport

_PAGE = Path(__file__).with_name("front_page.html.j2")


def documents(report: ValidationReport) -> dict[str, tuple[bytes, str]]:
    """Return the documents' relative keys, each with content and content type.

    `results.json` holds Great Expectations' results by suite, and `summary.json` the problems. `index.html` shows the
    problems and links to Great Expectations' Data Docs below `data_docs/`.
    """
    summary = {
        "passed": report.passed,
        "time": report.batch_time.isoformat(timespec="microseconds"),
        "message": report.summary(),
        "files": [{**asdict(file), "passed": file.passed} for file in report.files],
        "stream_rows": asdict(report.stream_rows),
        "ignored": [asdict(ignored) for ignored in report.ignored],
    }
    page = jinja2.Environment(autoescape=True).from_string(_PAGE.read_text("utf-8")).render(report=report)
    contents = {
        "results.json": _json(report.results),
        "summary.json": _json(summary),
        "index.html": page.encode(),
        **{f"data_docs/{name}": content for name, content in report.data_docs.items()},
    }
    return {name: (content, _content_type(name)) for name, content in contents.items()}


def _content_type(name: str) -> str:
    return (
        "text/html; charset=utf-8" if name.endswith(".html") else mimetypes.guess_type(name)[0] or "binary/octet-stream"
    )


def _json(content: Any) -> bytes:
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode()
