"""What docs/malformed_input.md says of each faulty songs.csv and users.csv is what becomes of it."""

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from music_streams.ingestion import DatasetsRefusedError

from contract import layout
from contract.bucket import Bucket
from glue_jobs import reference_tables
from glue_jobs.kernel import connection
from tests.integration.glue_jobs.malformed_input import REFERENCE_FILES, Case, rows
from tests.pipeline import SONGS, USERS, Pipeline

BATCH = "20240626T000000Z-00000001"
PLAYS = b"user_id,track_id,listen_time\nu1,t1,2024-06-25 10:00:00\n"
REFERENCES = [
    Case(name, "" if written == "(nothing)" else written.strip("`"), (table, outcome))
    for name, table, written, outcome in rows(REFERENCE_FILES)
]


def test_reference_files_are_refused_as_the_page_says(lake: Pipeline) -> None:
    lake.land("plays.csv", PLAYS)
    pairs = itertools.zip_longest(reference_files("songs", "refused"), reference_files("users", "refused"))
    for number, pair in enumerate(pairs):
        content = {case.cells[0]: case.content() for case in pair if case}
        lake.put(layout.SONGS, content.get("songs", SONGS))
        lake.put(layout.USERS, content.get("users", USERS))
        with pytest.raises(DatasetsRefusedError) as refusal:
            lake.ingest(f"{BATCH}{number}")
        reported = re.findall(r"^ERROR   (songs|users)\.csv:? (.*)", str(refusal.value), re.MULTILINE)
        for case in filter(None, pair):
            table, (outcome,) = case.cells[0], Case("", "", case.cells[1:]).outcomes
            messages = [message for of_table, message in reported if of_table == table]
            assert messages[0].startswith(outcome.reasons[0]), case.name


def test_reference_files_are_read_as_the_page_says(lake: Pipeline) -> None:
    lake.land("plays.csv", PLAYS)
    song_files, user_files = list(reference_files("songs", "accepted")), list(reference_files("users", "accepted"))
    for number, pair in enumerate(itertools.zip_longest(song_files, user_files)):
        content = {case.cells[0]: case.content() for case in pair if case}
        lake.put(layout.SONGS, content.get("songs", SONGS))
        lake.put(layout.USERS, content.get("users", USERS))
        lake.ingest(f"{BATCH}-accepted-{number}")

    for case, rows_of_file in prepared(lake, song_files, reference_tables.songs):
        expected = {key.decode(): ("Song", "Ann", 60_000, "pop") for key in re.findall(rb"\bt\d\b", case.content())}
        assert {row[0]: row[1:5] for row in rows_of_file} == expected, case.name
    for case, rows_of_file in prepared(lake, user_files, reference_tables.users):
        ages = dict(rows_of_file)
        assert ages["u1"] == 25, case.name
        assert ages.keys() == {key.decode() for key in re.findall(rb"\bu\d\b", case.content())}, case.name


def reference_files(table: str, kind: str) -> Iterator[Case]:
    return (case for case in REFERENCES if case.cells[0] == table and case.cells[1].startswith(kind))


def prepared(
    lake: Pipeline, files: Sequence[Case], prepare: Callable[[duckdb.DuckDBPyConnection, Bucket, str, Path], None]
) -> Iterator[tuple[Case, list[tuple[Any, ...]]]]:
    """What the KPI jobs make of each file."""
    with connection() as (database, folder):
        for case in files:
            lake.put("reference.csv", case.content())
            prepare(database, lake.bucket, "reference.csv", folder / "prepared.parquet")
            yield case, database.execute(f"from read_parquet('{folder}/prepared.parquet')").fetchall()


def test_the_page_has_each_file_once() -> None:
    assert len({(case.name, case.cells[0]) for case in REFERENCES}) == len(REFERENCES) > 20
