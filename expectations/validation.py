"""Validation of a batch's files. Importing this module takes seconds; what can be imported any time is in `report`."""

import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

os.environ["GX_ANALYTICS_ENABLED"] = "false"  # Great Expectations reads it when it is imported

import great_expectations as gx
import pandas as pd
from great_expectations.core import ExpectationSuiteValidationResult

from contract.datasets import DATASETS, SONGS, USER_STREAMS, USERS
from contract.rejections import latest_listen_time
from expectations.problems import problems_of_files, problems_of_rows, rows_shown
from expectations.report import MAX_EXAMPLES, FileReport, Ignored, LandedFile, Problem, RowsReport, ValidationReport
from expectations.rows import read_table, shown, stream_frame, stream_rows
from expectations.scan import FileFacts, scan
from expectations.suites import COLUMNS, files_suite, songs_suite, user_streams_suite, users_suite

# To look up its index columns takes Great Expectations 25 µs for each unexpected row.
ROWS_WITH_INDEX_COLUMNS = 100_000

_DATASETS = {dataset.name: dataset for dataset in DATASETS}
_SUITES = {SONGS.name: songs_suite, USERS.name: users_suite}

logging.getLogger("great_expectations").setLevel(logging.WARNING)  # it tells of its own set-up in hundreds of lines


def validate_files(
    files: Sequence[LandedFile], *, batch_time: datetime, ignored: Sequence[Ignored] = ()
) -> ValidationReport:
    """Run the suites over all files of a batch and tell everything that is not as expected, in all of them.

    Args:
        files: songs.csv and users.csv, once each, and any number of stream files.
        batch_time: When the files were pinned, with a time zone; plays more than a day later are told of.
        ignored: What else lies below the landing prefix.

    Raises:
        ValueError: `batch_time` has no time zone.
        Exception: whatever opening or reading a file raises, which is no fault of the data.
    """
    if batch_time.tzinfo is None:
        raise ValueError(f"batch_time {batch_time} has no time zone: give an aware datetime")
    batch_time = batch_time.astimezone(UTC)
    facts = _scan(files)
    whole = [(file, facts[file.name]) for file in files if file.name in facts and facts[file.name].has_rows_to_read]
    streams = stream_rows([(file, of_file) for file, of_file in whole if file.dataset == USER_STREAMS.name])
    rows, found = {USER_STREAMS.name: streams}, dict[str, Mapping[str, str | None]]()
    with tempfile.TemporaryDirectory() as folder:
        run = _Run(Path(folder))
        for file, of_file in whole:
            if file.dataset in _SUITES:
                dataset, suite = _DATASETS[file.dataset], _SUITES[file.dataset]
                wanted = {*streams.texts[dataset.unbroken[0]].distinct}
                rows[file.name], found[file.dataset] = read_table(file, of_file, dataset, COLUMNS[file.dataset], wanted)
                run.add(suite(of_file.columns), rows[file.name].frame({}))
        if streams.count:
            frame = stream_frame(streams, latest_listen_time(batch_time), found)
            run.add(user_streams_suite([*frame], rows_shown(streams.landed, streams.looked_at)), frame)
            del frame
        run.add(files_suite(), _files_frame([*facts.values()]))
        results = run.results(batch_time, examples=max(MAX_EXAMPLES, len(facts)), indexed=streams.count)
        data_docs = run.data_docs()
    problems = problems_of_files(facts, results["files"])
    for name, of_rows in rows.items():
        if (suite_name := name.removesuffix(".csv")) in results:
            problems += problems_of_rows(name, of_rows, results[suite_name])
    return ValidationReport(
        batch_time,
        [
            _report(of_file, [problem for problem in problems if problem.file == name])
            for name, of_file in facts.items()
        ],
        RowsReport(streams.looked_at, streams.landed, tuple(p for p in problems if p.file == USER_STREAMS.name)),
        ignored,
        results={name: result.to_json_dict() for name, result in results.items()},
        data_docs=data_docs,
    )


def _scan(files: Sequence[LandedFile]) -> dict[str, FileFacts]:
    """What is found in each file, first of the reference tables, be they there or not."""
    streams = [file for file in files if file.dataset == USER_STREAMS.name]
    beside = {0: "", 1: " beside 1 new stream file"}.get(len(streams), f" beside {len(streams):,} new stream files")
    facts = {}
    for dataset in (SONGS, USERS):
        landed = [file for file in files if file.dataset == dataset.name]
        if len(landed) == 1:
            facts[landed[0].name] = scan(landed[0], dataset)
        else:
            name = f"{dataset.name}.csv"
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
        problems=tuple(sorted(problems, key=lambda problem: problem.severity)),
    )


class _Run:
    """Great Expectations' context of one validation; its frames lie in a folder until they are judged."""

    def __init__(self, folder: Path) -> None:
        self._frames, self._site = folder / "frames", folder / "data_docs"
        self._frames.mkdir()
        self._context = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = {"globally": False, "metric_calculations": False}
        self._source = self._context.data_sources.add_pandas_filesystem("landed", base_directory=self._frames)
        self._definitions = list[gx.ValidationDefinition]()

    def add(self, suite: gx.ExpectationSuite, frame: pd.DataFrame) -> None:
        """Take in a frame and what is expected of it."""
        frame.to_pickle(self._frames / f"{suite.name}.pickle")
        asset = self._source.add_pickle_asset(suite.name)
        self._definitions.append(
            self._context.validation_definitions.add(
                gx.ValidationDefinition(
                    name=suite.name,
                    data=asset.add_batch_definition_path("landed", f"{suite.name}.pickle"),
                    suite=self._context.suites.add(suite),
                )
            )
        )

    def results(self, time: datetime, *, examples: int, indexed: int) -> dict[str, ExpectationSuiteValidationResult]:
        """Judge all frames: the result for each suite, its expectations in the suite's order."""
        checkpoint = self._context.checkpoints.add(
            gx.Checkpoint(
                name="landed",
                validation_definitions=self._definitions,
                result_format={"result_format": "SUMMARY", "partial_unexpected_count": examples}
                | (
                    {"unexpected_index_column_names": ["source_file", "line"]}
                    if indexed <= ROWS_WITH_INDEX_COLUMNS
                    else {}
                ),
            )
        )
        run = checkpoint.run(run_id=gx.RunIdentifier(run_name="validation", run_time=time))
        results = {result.suite_name: result for result in run.run_results.values()}
        for result in results.values():
            for part in result.results:
                if part.exception_info["raised_exception"]:
                    raise RuntimeError(f"{part.expectation_config} could not be judged: {part.exception_info}")
        return results

    def data_docs(self) -> dict[str, bytes]:
        """Build the site of the results; its files but for the pictures that explain the product."""
        backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(self._site)}
        site = {"class_name": "SiteBuilder", "show_how_to_buttons": False, "store_backend": backend}
        self._context.update_data_docs_site("local_site", site)
        self._context.build_data_docs()
        files = (path for path in self._site.rglob("*") if path.is_file() and path.suffix != ".gif")
        return {path.relative_to(self._site).as_posix(): path.read_bytes() for path in files}


def _files_frame(facts: Sequence[FileFacts]) -> pd.DataFrame:
    """The frame `files`: texts as text, counts as numbers, both null where nothing was found."""
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
