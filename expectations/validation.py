"""Validation of a batch's files. Importing this module takes seconds; what can be imported any time is in `report`."""

import itertools
from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd

from expectations.frames import Keys, songs_frame, stream_frame, users_frame
from expectations.gx import (
    DataContextConfig,
    ExpectationConfiguration,
    ExpectationSuiteValidationResult,
    ExpectationValidationResult,
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

# Great Expectations takes 50 ms for a frame of whatever size: what is smaller than this is judged together.
ROWS_JUDGED_TOGETHER = 20_000

Progress = Callable[[str, int], None]
Framing = Callable[[Chunk], pd.DataFrame]

_SUMMARY = {"result_format": "SUMMARY", "partial_unexpected_count": MAX_EXAMPLES}
_COMPLETE = {"result_format": "COMPLETE"}


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
            reports.append(run.validate(landed[0])())
        else:
            reports.append(run.refuse(f"{dataset}.csv", dataset, _why_not_landed(len(landed), len(streams))))
    read = [run.validate(stream) for stream in streams]
    run.judge_waiting()
    return ValidationReport(run.batch_time, (*reports, *(report() for report in read)))


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
        self._waiting: list[tuple[pd.DataFrame, Sequence[Tally]]] = []
        self._chunks = source.add_dataframe_asset("chunks").add_batch_definition_whole_dataframe("chunk")

    def validate(self, file: LandedFile) -> Callable[[], FileReport]:
        """Read one file to its end; return what reports on it, for stream files once `judge_waiting` was called."""
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
        judged = [*self._judge_reading(readings), *tallies]
        return lambda: self._report(file.name, file.dataset, csv_file, judged)

    def refuse(self, name: str, dataset: Dataset, reason: str) -> FileReport:
        """Report on a reference table that there is no use in reading."""
        return self._report(name, dataset, None, self._judge_reading([not_landed(reason)]))

    def _judge_rows(self, file: LandedFile, csv_file: CsvFile) -> list[Tally]:
        framing = self._framing(file.dataset, csv_file.columns)
        no_rows_yet = framing(Chunk([[] for _ in csv_file.columns], [], None))
        tallies = [Tally(expected) for expected in suite(file.dataset, no_rows_yet.columns, latest=self._latest)]
        frames = map(framing, csv_file.chunks())
        judge = self._judge_soon if file.dataset == "user_streams" else self._judge
        for _ in map(judge, frames, itertools.repeat(tallies)):  # no name here keeps a frame in memory
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

    def _judge_soon(self, frame: pd.DataFrame, tallies: Sequence[Tally]) -> None:
        """Judge a stream file's frame, if it is small together with others of its columns."""
        if self._waiting and not self._waiting[0][0].columns.equals(frame.columns):
            self.judge_waiting()
        self._waiting.append((frame, tallies))
        if sum(len(waiting) for waiting, _ in self._waiting) >= ROWS_JUDGED_TOGETHER:
            self.judge_waiting()

    def judge_waiting(self) -> None:
        """Judge the frames that wait for others."""
        waiting, self._waiting = self._waiting, []
        if len(waiting) == 1:
            self._judge(*waiting[0])
        if len(waiting) < 2:
            return
        together = pd.concat([frame.astype(object) for frame, _ in waiting], ignore_index=True)
        results = self._results(together, waiting[0][1], _COMPLETE)  # the others expect the same
        end = 0
        for frame, tallies in waiting:
            start, end = end, end + len(frame)
            for tally, result in zip(tallies, results, strict=True):
                tally.add(_of_rows(result, start, end, frame.index))

    def _judge(self, frame: pd.DataFrame, tallies: Sequence[Tally]) -> None:
        for tally, result in zip(tallies, self._results(frame, tallies, _SUMMARY), strict=True):
            tally.add(result)

    def _results(
        self, frame: pd.DataFrame, tallies: Sequence[Tally], result_format: dict[str, Any]
    ) -> list[ExpectationValidationResult]:
        """Return what a frame makes of the expectations of the tallies, in their order."""
        # What batch.validate() does, but for one more hash of the whole frame.
        validator = Validator(self._chunks, batch_parameters={"dataframe": frame}, result_format=result_format)
        expectations = gx.ExpectationSuite("chunk", expectations=[tally.expectation for tally in tallies])
        result_of = {}
        for result in validator.validate_expectation_suite(expectations).results:
            if result.expectation_config is None or result.exception_info["raised_exception"]:
                raise RuntimeError(f"{result.expectation_config} could not be judged: {result.exception_info}")
            result_of[_identity(result.expectation_config)] = result
        return [result_of[_identity(tally.expectation.configuration)] for tally in tallies]

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


def _of_rows(
    result: ExpectationValidationResult, start: int, end: int, line_numbers: pd.Index
) -> ExpectationValidationResult:
    """Return a complete result for rows of a column, as far as the rows from `start` to `end` go."""
    details = result.result
    if "element_count" not in details:
        return result
    unexpected = details.get("unexpected_index_list") or []
    first, last = bisect_left(unexpected, start), bisect_left(unexpected, end)
    return ExpectationValidationResult(
        success=first == last,
        expectation_config=result.expectation_config,
        result={
            "element_count": end - start,
            "unexpected_count": last - first,
            "partial_unexpected_list": details["unexpected_list"][first:last],
            "partial_unexpected_index_list": [line_numbers[row - start] for row in unexpected[first:last]],
        },
    )


def _identity(configuration: ExpectationConfiguration) -> tuple[str, str | None]:
    return configuration.type, configuration.kwargs.get("column")
