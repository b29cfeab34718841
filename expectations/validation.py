"""Validate a batch's files. Importing this module takes seconds; importing `report` does not."""

import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations.core import ExpectationSuiteValidationResult

from contract.datasets import DATASETS, SONGS, USER_STREAMS, USERS
from contract.rejections import latest_listen_time
from expectations.problems import problems_of_files, problems_of_rows, rows_shown
from expectations.report import (
    MAX_EXAMPLES,
    FileReport,
    Ignored,
    LandedFile,
    Problem,
    RowsReport,
    UnreadFile,
    ValidationReport,
    by_severity,
)
from expectations.rows import read_table, shown, stream_frame, stream_rows
from expectations.scan import FileFacts, scan
from expectations.suites import COLUMNS, files_suite, songs_suite, user_streams_suite, users_suite

# Great Expectations takes 25 µs per unexpected row to look up the index columns.
ROWS_WITH_INDEX_COLUMNS = 20_000

_DATASETS = {dataset.name: dataset for dataset in DATASETS}
_SUITES = {SONGS.name: songs_suite, USERS.name: users_suite}


def validate_files(
    files: Sequence[LandedFile],
    *,
    batch_time: datetime,
    unread: Sequence[UnreadFile] = (),
    ignored: Sequence[Ignored] = (),
) -> ValidationReport:
    """Run the suites over all files of a batch, and report all unmet expectations of all files.

    Args:
        files: songs.csv and users.csv, once each, and any number of stream files.
        batch_time: The time at which the files were pinned, with a time zone; plays more than a day later are reported.
        unread: Further files of the batch, which cannot be read and are refused.
        ignored: Other objects below the landing prefix.

    Raises:
        ValueError: `batch_time` has no time zone.
        Exception: any error of opening or reading a file that is not a fault of the data.
    """
    if batch_time.tzinfo is None:
        raise ValueError(f"batch_time {batch_time} has no time zone: give an aware datetime")
    batch_time = batch_time.astimezone(UTC)
    facts = _scan(files, unread)
    whole = [(file, facts[file.name]) for file in files if file.name in facts and facts[file.name].has_rows_to_read]
    streams = stream_rows([(file, of_file) for file, of_file in whole if file.dataset == USER_STREAMS.name])
    rows, found = {USER_STREAMS.name: streams}, dict[str, Mapping[str, str]]()
    with tempfile.TemporaryDirectory() as folder:
        run = _Run(Path(folder))
        for file, of_file in whole:
            if file.dataset in _SUITES:
                dataset, suite = _DATASETS[file.dataset], _SUITES[file.dataset]
                wanted = {*streams.columns[dataset.unbroken[0]]}
                rows[file.name], found[file.dataset] = read_table(file, of_file, dataset, COLUMNS[file.dataset], wanted)
                run.add(suite(of_file.columns), rows[file.name].frame({}))
        if streams.count:
            frame = stream_frame(streams, latest_listen_time(batch_time), found)
            run.add(user_streams_suite([*frame], rows_shown(streams.landed, streams.looked_at)), frame)
            del frame
        run.add(files_suite(), _files_frame([*facts.values()]))
        results = run.results(
            batch_time, examples=max(MAX_EXAMPLES, len(facts)), indexed=streams.count <= ROWS_WITH_INDEX_COLUMNS
        )
        data_docs = run.data_docs()
    problems = problems_of_files(facts, results["files"])
    for name, of_rows in rows.items():
        if (suite_name := name.removesuffix(".csv")) in results:
            problems += problems_of_rows(name, of_rows, results[suite_name])
    return ValidationReport(
        batch_time,
        [_report(of_file, problems) for of_file in facts.values()],
        RowsReport(streams.looked_at, streams.landed, tuple(p for p in problems if p.file == USER_STREAMS.name)),
        ignored,
        results={name: result.to_json_dict() for name, result in results.items()},  # type: ignore[no-untyped-call]
        data_docs=data_docs,
    )


def _scan(files: Sequence[LandedFile], unread: Sequence[UnreadFile]) -> dict[str, FileFacts]:
    """Scan each file, the reference tables first, even if they are missing."""
    streams = [file for file in files if file.dataset == USER_STREAMS.name]
    beside = {0: "", 1: " beside 1 new stream file"}.get(len(streams), f" beside {len(streams):,} new stream files")
    facts = {file.name: FileFacts(file.name, file.dataset, unread=file.reason) for file in unread}
    for dataset in (SONGS, USERS):
        landed = [file for file in files if file.dataset == dataset.name]
        if len(landed) == 1:
            facts[landed[0].name] = scan(landed[0], dataset)
        elif (name := f"{dataset.name}.csv") not in facts:
            absence = f"has landed {len(landed)} times" if landed else f"is missing{beside}"
            facts[name] = FileFacts(name, dataset.name, absence=absence)
    return facts | {file.name: scan(file, USER_STREAMS) for file in streams}


def _report(facts: FileFacts, problems: Sequence[Problem]) -> FileReport:
    return FileReport(
        name=facts.source_file,
        dataset=facts.dataset,
        rows=facts.rows or 0,
        header=facts.header or "",
        columns=facts.columns,
        line_per_record=facts.line_per_record,
        compression=facts.compression,
        problems=tuple(by_severity(problem for problem in problems if problem.file == facts.source_file)),
    )


class _Run:
    """Great Expectations' context of one validation; its frames are kept in a folder until they are validated."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._definitions = folder, list[gx.ValidationDefinition]()
        self._context = gx.get_context(mode="ephemeral")
        no_bars: Any = {"globally": False, "metric_calculations": False}
        self._context.variables.progress_bars = no_bars
        self._source = self._context.data_sources.add_pandas_filesystem("landed", base_directory=folder)

    def add(self, suite: gx.ExpectationSuite, frame: pd.DataFrame) -> None:
        """Add a frame and its suite."""
        file = self._folder / f"{suite.name}.pickle"
        frame.to_pickle(file)
        data = self._source.add_pickle_asset(suite.name).add_batch_definition_path("landed", file.name)
        definition = gx.ValidationDefinition(name=suite.name, data=data, suite=self._context.suites.add(suite))
        self._definitions.append(self._context.validation_definitions.add(definition))

    def results(self, time: datetime, *, examples: int, indexed: bool) -> dict[str, ExpectationSuiteValidationResult]:
        """Validate all frames, and return the result for each suite."""
        result_format: dict[str, Any] = {"result_format": "SUMMARY", "partial_unexpected_count": examples}
        if indexed:
            result_format["unexpected_index_column_names"] = ["source_file", "line"]
        checkpoint = gx.Checkpoint(name="landed", validation_definitions=self._definitions, result_format=result_format)
        run_id = gx.RunIdentifier(run_name="validation", run_time=time)
        results = self._context.checkpoints.add(checkpoint).run(run_id=run_id).run_results.values()
        for part in (part for result in results for part in result.results):
            if part.exception_info["raised_exception"]:
                raise RuntimeError(f"{part.expectation_config} could not be judged: {part.exception_info}")
        return {result.suite_name: result for result in results}

    def data_docs(self) -> dict[str, bytes]:
        """Build the site of the results; return its pages and their icon, the only other file that they show."""
        site = self._folder / "site"
        backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(site)}
        config: Any = {"class_name": "SiteBuilder", "show_how_to_buttons": False, "store_backend": backend}
        self._context.update_data_docs_site("local_site", config)
        self._context.build_data_docs()
        files = (path for path in site.rglob("*") if path.suffix in {".html", ".ico"})
        return {path.relative_to(site).as_posix(): path.read_bytes() for path in files}


def _files_frame(facts: Sequence[FileFacts]) -> pd.DataFrame:
    """Return the frame `files`: texts as text, counts as numbers, both null if unknown."""
    rows = [
        {
            **vars(fact),
            "columns": ", ".join(fact.columns),
            "missing_columns": ", ".join(fact.missing_columns) or None,
            "repeated_columns": ", ".join(fact.repeated_columns) or None,
        }
        for fact in facts
    ]
    frame = pd.DataFrame(rows).drop(columns="examples").astype(object)
    for name in frame:
        if any(isinstance(value, str) for value in frame[name]):
            frame[name] = frame[name].map(shown, na_action="ignore").astype(object)
        else:
            frame[name] = frame[name].astype("float64")
    return frame
