"""Many small files: judged together, and told of as if each had been alone."""

from typing import Any

import pytest

import expectations.validation as validation_module
from expectations.gx import Validator
from expectations.report import FileReport, LandedFile
from tests.unit.expectations.landed import STREAM, file_report, stream, validate

HEADER = b"user_id,track_id,listen_time\n"
CONTENTS = {
    "good": STREAM,
    "without times": b"user_id,track_id\n1,track-1\n",
    "bad rows": HEADER
    + b",track-1,2024-06-25 00:00:00\n1,,yesterday\n99,track-99,2199-01-01 00:00:00\n1,track-1,\n1\n",
    "other columns": b"extra,listen_time,track_id,user_id\nx,2024-06-25 17:43:13,track-1, 1 \n"
    b",2023-01-01 00:00:00,track-2,2\n",
    "header only": HEADER,
    "empty": b"",
    "many bad rows": HEADER + b"77,track-1,1999-01-01 00:00:00\n" * 30,
    "quoted": HEADER + b'"1","track-1","2024-06-25\n00:00:00"\n2,track-2,2024-06-25 00:00:00\n',
    "good again": STREAM,
}


def files() -> list[LandedFile]:
    return [stream(content, f"user_streams/{name}.csv") for name, content in CONTENTS.items()]


def told(report: FileReport) -> tuple[FileReport, object]:
    return report, report.result.to_json_dict()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("chunk_bytes", [1 << 20, 64])
def test_of_each_file_is_told_what_would_be_told_of_it_alone(chunk_bytes: int) -> None:
    together = validate(*files(), chunk_bytes=chunk_bytes)
    for file in files():
        alone = validate(file, chunk_bytes=chunk_bytes)
        assert told(file_report(together, file.name)) == told(file_report(alone, file.name))


def test_a_file_is_told_of_alike_however_many_rows_are_judged_together(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [told(report) for report in validate(*files()).files]
    for rows in (0, 4, 33):
        monkeypatch.setattr(validation_module, "ROWS_JUDGED_TOGETHER", rows)
        assert [told(report) for report in validate(*files()).files] == whole


def test_great_expectations_judges_the_rows_of_many_files_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = []

    def counting(*arguments: Any, **options: Any) -> Validator:
        judged.append(len(options["batch_parameters"]["dataframe"]))
        return Validator(*arguments, **options)

    monkeypatch.setattr(validation_module, "Validator", counting)
    validate(*[stream(STREAM, f"user_streams/{number}.csv") for number in range(50)])
    assert [rows for rows in judged if rows] == [9, 9, 150]
