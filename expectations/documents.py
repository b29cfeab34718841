"""A validation's report as files: JSON for programs, a front page and Data Docs for people."""

import dataclasses
import json
import mimetypes
from pathlib import Path
from typing import Any

import jinja2

from expectations.report import ValidationReport

JSON = "application/json"
HTML = "text/html; charset=utf-8"


def documents(report: ValidationReport) -> dict[str, tuple[bytes, str]]:
    """Return relative keys with content and content type; see `ValidationReport.as_documents`."""
    pages = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parent / "pages"), autoescape=True)
    return {
        "results.json": (_json(report.results), JSON),
        "summary.json": (_json(_summary(report)), JSON),
        "index.html": (pages.get_template("front_page.html.j2").render(report=report).encode(), HTML),
        **{f"data_docs/{name}": (content, _type(name)) for name, content in report.data_docs.items()},
    }


def _type(name: str) -> str:
    return HTML if name.endswith(".html") else mimetypes.guess_type(name)[0] or "application/octet-stream"


def _json(content: Any) -> bytes:
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode()


def _summary(report: ValidationReport) -> dict[str, Any]:
    return {
        "passed": report.passed,
        "time": report.batch_time.isoformat(timespec="microseconds"),
        "message": report.summary(),
        "files": [{**dataclasses.asdict(file), "passed": file.passed} for file in report.files],
        "stream_rows": dataclasses.asdict(report.stream_rows),
        "ignored": [dataclasses.asdict(ignored) for ignored in report.ignored],
    }
