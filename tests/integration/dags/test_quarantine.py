"""`make quarantine`: what was not taken is shown with its reasons, and written as files that can be corrected."""

import json
from pathlib import Path
from shlex import split

import pytest

from contract import layout
from contract.bucket import Bucket
from sandbox import quarantine
from sandbox.home import SandboxError
from tests.integration.dags.conftest import Lake

BATCH = "20240626T000000Z-1a2b3c4d"
FOLDER = layout.BatchFolder(BATCH)
FILE = f"{layout.USER_STREAMS}/june/a.csv"


@pytest.fixture
def bucket(lake: Lake) -> Bucket:
    return Bucket(lake.bucket, lake.s3)


def reject(bucket: Bucket, rows: int, *, committed: bool) -> None:
    """Let a batch reject some rows of a file."""
    row = {"reason": "user_id is missing", "source_file": FILE, "raw_line": ",t1,\u202e2024"}
    lines = "".join(f"{json.dumps(row)}\n" for _ in range(rows))
    bucket.write(f"{FOLDER.quarantined_rows}/attempt=jr_1/0.json", lines.encode())
    file = {"key": FILE, "copy": f"{FOLDER.pins}/00001-abc-a.csv", "header": "user_id,track_id,listen_time"}
    record = {"batch_id": BATCH, "attempt": "jr_1", "rows_rejected": rows, "files": [file]}
    if committed:
        bucket.write_json(FOLDER.curation_record, {**record, "curated_files": []})
    else:
        bucket.write_json(FOLDER.rejected_record, record)


def refuse(bucket: Bucket, batch: str) -> None:
    """Let a batch refuse a file."""
    key = f"{layout.BatchFolder(batch).quarantined_files}/abc-evil.csv"
    reasons = [{"expectation": "x", "message": "user_streams/evil.csv is empty", "examples": []}]
    bucket.write(key, b"")
    bucket.write_json(f"{key}.reason.json", {"file": f"{layout.USER_STREAMS}/evil.csv", "size": 0, "reasons": reasons})


def test_each_batch_that_has_left_something_is_listed_with_the_command_that_shows_it(bucket: Bucket) -> None:
    reject(bucket, 3, committed=True)
    for batch in ("20240627T000000Z-00000000", "removed"):
        refuse(bucket, batch)
    bucket.write(f"{layout.BatchFolder('died').quarantined_rows}/attempt=jr_9/0.json", b"{}")

    commands = list(quarantine.overview(bucket))

    assert commands == [f"make quarantine BATCH={batch}" for batch in (BATCH, "20240627T000000Z-00000000", "removed")]
    for command in commands:
        assert list(quarantine.shown(bucket, split(command)[2].removeprefix("BATCH=")))


def test_an_empty_quarantine_says_so(bucket: Bucket) -> None:
    assert list(quarantine.overview(bucket)) == ["Nothing is in quarantine"]
    with pytest.raises(SandboxError, match=f"batch {BATCH} has left nothing in quarantine"):
        list(quarantine.shown(bucket, BATCH))


def test_files_and_rows_are_shown_with_their_reasons(bucket: Bucket) -> None:
    refuse(bucket, BATCH)
    reject(bucket, 25, committed=True)

    lines = list(quarantine.shown(bucket, BATCH))

    assert lines[:2] == ["user_streams/evil.csv (0 bytes)", "  user_streams/evil.csv is empty"]
    assert lines.count("  user_id is missing: ',t1,\\u202e2024' in user_streams/june/a.csv") == quarantine.ROWS_SHOWN
    assert "25 rows were rejected, the first of them:" in lines
    assert lines[-1] == f"To fix them in an editor:  make quarantine BATCH={BATCH} FOLDER=corrected"


def test_rows_are_written_as_files_that_can_be_landed_and_never_over_corrected_ones(
    bucket: Bucket, tmp_path: Path
) -> None:
    reject(bucket, 2, committed=True)
    folder = tmp_path / "my rows"

    written, land = quarantine.write_rows_to_fix(bucket, BATCH, folder)

    assert written == f"{folder}/user_streams/00001-abc-a.csv: rows of user_streams/june/a.csv: 2 user_id is missing"
    assert land == f"Once they are corrected:  make run DATA='{folder}'"
    with pytest.raises(SandboxError, match=r"is there already\. Name another FOLDER"):
        list(quarantine.write_rows_to_fix(bucket, BATCH, folder))


def test_rows_of_a_batch_that_took_nothing_are_corrected_where_they_landed(bucket: Bucket, tmp_path: Path) -> None:
    reject(bucket, 2, committed=False)
    assert list(quarantine.shown(bucket, BATCH))[-1] == "No row of their files was taken: fix the files themselves"
    with pytest.raises(SandboxError, match="its files still wait in the landing prefix, so fix them there"):
        list(quarantine.write_rows_to_fix(bucket, BATCH, tmp_path))
