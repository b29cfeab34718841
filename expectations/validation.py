"""Validation of a batch's files. Importing this module takes seconds; what can be imported any time is in `report`."""

import itertools
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pandas as pd

from expectations.frames import Keys, songs_frame, stream_frame, users_frame
from expectations.gx import (
    DataContextConfig,
    ExpectationConfiguration,
    ExpectationSuiteValidationResult,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
    Validator,
    gx,
)
from expectations.problems import problems_of
from expectations.records import CHUNK_BYTES, Chunk, CsvFile, EmptyFileError, UnreadableFileError
from expectations.report import MAX_EXAMPLES, Dataset, FileReport, LandedFile, ValidationReport
from expectations.suites import UNBROKEN_COLUMNS, Reading, no_rows, not_landed, reading_suite, suite, unreadable
from expectations.tallies import Tally

TOLERANCE_OF_CLOCKS = timedelta(days=1)

Progress = Callable[[str, int], None]
Framing = Callable[[Chunk], pd.DataFrame]

_RESULT_FORMAT = {"result_format": "SUMMARY", "partial_unexpected_count": MAX_EXAMPLES}


def validate_files(
    files: Sequence[LandedFile],
    *,
    batch_time: datetime,
    progress: Progress | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> ValidationReport:
    """Run the suites over all files of a batch and tell everything that is not as expected, in all of them.

    Args:
        files: songs.csv and users.csv, once each, and any number of stream files.
        batch_time: When the files were pinned, with a time zone; plays more than a day later are told of.
        progress: Is called after each chunk with the file's name and the rows read of it so far.
        chunk_bytes: How much of a file is in memory at once; the report does not depend on it.

    Raises:
        ValueError: `batch_time` has no time zone.
        Exception: whatever opening or reading a file raises, which is no fault of the data.
    """
    if batch_time.tzinfo is None:
        raise ValueError(f"batch_time {batch_time} has no time zone: give an aware datetime")
    run = _Run(batch_time.astimezone(UTC), progress or (lambda _name, _rows: None), chunk_bytes)
    streams = [file for file in files if file.dataset == "user_streams"]
    reports = []
    for dataset in ("songs", "users"):
        landed = [file for file in files if file.dataset == dataset]
        if len(landed) == 1:
            reports.append(run.validate(landed[0]))
        else:
            reports.append(run.refuse(f"{dataset}.csv", dataset, _why_not_landed(len(landed), len(streams))))
    return ValidationReport(run.batch_time, (*reports, *map(run.validate, streams)))


def _why_not_landed(times: int, streams: int) -> str:
    if times:
        return f"has landed {times} times"
    beside = {0: "", 1: " beside 1 new stream file"}.get(streams, f" beside {streams:,} new stream files")
    return f"is missing{beside}"


class _Run:
    """One validation: Great Expectations' context, and the keys of the reference tables once these are read."""

    def __init__(self, batch_time: datetime, progress: Progress, chunk_bytes: int) -> None:
        self.batch_time = batch_time
        self._progress = progress
        self._chunk_bytes = chunk_bytes
        self._latest = batch_time + TOLERANCE_OF_CLOCKS
        self._keys: dict[Dataset, Keys] = {}
        context = gx.get_context(
            mode="ephemeral",
            project_config=DataContextConfig(
                analytics_enabled=False,
                progress_bars=ProgressBarsConfig(globally=False, metric_calculations=False),
                store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
            ),
        )
        source = context.data_sources.add_pandas("files")
        self._chunks = source.add_dataframe_asset("chunks").add_batch_definition_whole_dataframe("chunk")

    def validate(self, file: LandedFile) -> FileReport:
        """Read one file to its end and judge it."""
        csv_file = None
        tallies: list[Tally] = []
        with closing(file.open()) as stream:
            try:
                csv_file = CsvFile(stream, unbroken=UNBROKEN_COLUMNS[file.dataset], chunk_bytes=self._chunk_bytes)
                tallies = self._judge_rows(file, csv_file)
                readings = reading_suite(file.dataset, csv_file)
            except EmptyFileError as error:
                readings = [no_rows(str(error))]
            except UnreadableFileError as error:
                self._keys.pop(file.dataset, None)
                readings = [unreadable(str(error))]
        return self._report(file.name, file.dataset, csv_file, [*self._judge_reading(readings), *tallies])

    def refuse(self, name: str, dataset: Dataset, reason: str) -> FileReport:
        """Report on a reference table that there is no use in reading."""
        return self._report(name, dataset, None, self._judge_reading([not_landed(reason)]))

    def _judge_rows(self, file: LandedFile, csv_file: CsvFile) -> list[Tally]:
        framing = self._framing(file.dataset, csv_file.columns)
        no_rows_yet = framing(Chunk([[] for _ in csv_file.columns], [], None))
        tallies = [Tally(expected) for expected in suite(file.dataset, no_rows_yet.columns, latest=self._latest)]
        frames = map(framing, csv_file.chunks())
        for _ in map(self._judge, frames, itertools.repeat(tallies)):  # no name here keeps a frame in memory
            self._progress(file.name, csv_file.rows)
        if not csv_file.rows:
            self._keys.pop(file.dataset, None)
            self._judge(no_rows_yet, tallies)
        return tallies

    def _framing(self, dataset: Dataset, columns: tuple[str, ...]) -> Framing:
        if dataset == "user_streams":
            users, songs, latest = self._keys.get("users"), self._keys.get("songs"), self._latest.timestamp()
            return lambda chunk: stream_frame(chunk, columns, users=users, songs=songs, latest=latest)
        keys = Keys()
        if ("track_id" if dataset == "songs" else "user_id") in columns:
            self._keys[dataset] = keys
        frame_of = songs_frame if dataset == "songs" else users_frame
        return lambda chunk: frame_of(chunk, columns, keys)

    def _judge_reading(self, readings: Sequence[Reading]) -> list[Tally]:
        tallies = [Tally(reading.expectation) for reading in readings]
        self._judge(pd.DataFrame(), tallies)
        for tally, reading in zip(tallies, readings, strict=True):
            tally.add_lines(reading.lines)
        return tallies

    def _judge(self, frame: pd.DataFrame, tallies: Sequence[Tally]) -> None:
        # What batch.validate() does, but for one more hash of the whole frame.
        validator = Validator(self._chunks, batch_parameters={"dataframe": frame}, result_format=_RESULT_FORMAT)
        expectations = gx.ExpectationSuite("chunk", expectations=[tally.expectation for tally in tallies])
        results = validator.validate_expectation_suite(expectations).results
        tally_of = {_identity(tally.expectation.configuration): tally for tally in tallies}
        for result in results:
            if result.expectation_config is None or result.exception_info["raised_exception"]:
                raise RuntimeError(f"{result.expectation_config} could not be judged: {result.exception_info}")
            tally_of[_identity(result.expectation_config)].add(result)

    def _report(self, name: str, dataset: Dataset, csv_file: CsvFile | None, tallies: Sequence[Tally]) -> FileReport:
        results = [tally.result() for tally in tallies]
        columns = csv_file.columns if csv_file else ()
        rows = csv_file.rows if csv_file else 0
        problems = problems_of(name, columns, rows, results)
        met = sum(bool(result.success) for result in results)
        return FileReport(
            name=name,
            dataset=dataset,
            rows=rows,
            header=csv_file.header if csv_file else "",
            columns=columns,
            line_per_record=csv_file.line_per_record if csv_file else True,
            problems=tuple(problems),
            result=ExpectationSuiteValidationResult(
                success=all(problem.severity == "warning" for problem in problems),
                results=results,
                suite_name=dataset,
                statistics={
                    "evaluated_expectations": len(results),
                    "successful_expectations": met,
                    "unsuccessful_expectations": len(results) - met,
                    "success_percent": 100 * met / len(results),
                },
                meta={
                    "great_expectations_version": gx.__version__,
                    "run_id": {"run_name": None, "run_time": self.batch_time.isoformat()},
                    "active_batch_definition": {"data_asset_name": name},
                    "batch_spec": {"data_asset_name": name},
                },
            ),
        )


def _identity(configuration: ExpectationConfiguration) -> tuple[str, str | None]:
    return configuration.type, configuration.kwargs.get("column")
