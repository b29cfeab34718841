"""Every command that a failed run prints is run, as it stands, and leads out."""

import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from music_streams.batches import unknown_params
from music_streams.ingestion import DatasetsRefusedError, ingest_batch, write_verdict

from contract import layout
from contract.bucket import Bucket
from sandbox import cli, landing, pipeline_run
from sandbox.home import REPOSITORY, Home
from sandbox.lifecycle import Sandbox
from sandbox.remedies import CURATION, VALIDATION, Remedy, remedies
from sandbox.settings import BUCKET
from tests.integration.dags.conftest import Lake

BATCH = "20240626T000000Z-1a2b3c4d"
PARAMS = ("on_invalid_stream_file", "max_reject_rate", "recompute_from", "recompute_to")
STREAMS = f"{layout.ROOT}/user_streams"

SONGS = "id,track_id,artists,track_name,duration_ms,track_genre\n0,t1,Ann,One,1000,pop\n"
USERS = "user_id,user_age,created_at\nu1,30,2024-01-01\n"
GOOD = "user_id,track_id,listen_time\nu1,t1,2024-06-25 17:43:13\n"
BAD = "user_id,track_id\nu1,t1\n"
NASTY = 'user_streams/it\'s $HOME $(x) #1 100% "é".csv'


@dataclass
class Commands:
    """Runs what a user pastes: the shell and make are real, S3 is; a run of the DAG is its first task."""

    lake: Lake
    monkeypatch: pytest.MonkeyPatch
    runs: int = 0

    def paste(self, command: str) -> Any:
        """The result of the command: what validation returns for `make run`, the exit status for others."""
        target, arguments = typed(command)
        for name in ("DATA", "PARAMS", "FILE", "BATCH", "FOLDER"):
            self.monkeypatch.delenv(f"MUSIC_STREAMS_ARGUMENT_{name}", raising=False)
        for name, value in arguments.items():
            self.monkeypatch.setenv(name, value)
        return cli.main([target])

    def run(self, _sandbox: Sandbox, *, data: str | None, params: str | None) -> int:
        conf = pipeline_run.dag_params(params)
        assert unknown_params(conf, PARAMS) == ""
        bucket = Bucket(BUCKET, self.lake.s3)
        if data:
            landing.from_folder(data).land(self.lake.s3)
        self.runs += 1
        policy = conf.get("on_invalid_stream_file", "fail")
        try:
            result = ingest_batch(bucket, f"2024062{self.runs}", on_invalid_stream_file=policy, recompute=None)
        except DatasetsRefusedError:
            return 1
        return 0 if result["outcome"] == "compute" else 2


def typed(command: str) -> tuple[str, dict[str, str]]:
    """What reaches the program of a command that is pasted into a shell: its target, and the Makefile's variables."""
    show = "shown:;@env -0"
    target = command.split()[1]
    shell = command.replace(f"make {target}", f"make -s -C '{REPOSITORY}' --eval='{show}' shown", 1)
    printed = subprocess.run(["sh", "-c", shell], env=dict(os.environ), capture_output=True, text=True, check=True)
    variables = dict(entry.split("=", 1) for entry in printed.stdout.split("\0") if entry)
    return target, {name: value for name, value in variables.items() if name.startswith("MUSIC_STREAMS_ARGUMENT_")}


@pytest.fixture
def commands(lake: Lake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterable[Commands]:
    """A sandbox of nothing but S3."""
    monkeypatch.setenv("MUSIC_STREAMS_SANDBOX_HOME", str(tmp_path / "home"))
    lake = Lake(lake.endpoint, lake.s3, lake.producer, BUCKET)
    lake.producer.create_bucket(Bucket=BUCKET)
    commands = Commands(lake, monkeypatch)
    monkeypatch.setattr(Sandbox, "start", lambda *_: None)
    monkeypatch.setattr(Sandbox, "aws", lake)
    monkeypatch.setattr(pipeline_run, "run", commands.run)
    yield commands
    for key in lake.keys(""):
        lake.remove(key)
    lake.producer.delete_bucket(Bucket=BUCKET)


def refused(lake: Lake, folder: Path | None) -> list[Remedy]:
    """The ways out of a run that validation has refused."""
    bucket = Bucket(BUCKET, lake.s3)
    with pytest.raises(DatasetsRefusedError):
        ingest_batch(bucket, BATCH, on_invalid_stream_file="fail", recompute=None)
    return remedies(bucket, BATCH, VALIDATION, folder)


def folder_with(folder: Path, **files: str) -> Path:
    (folder / "user_streams").mkdir(parents=True)
    for name, content in files.items():
        path = "user_streams/good.csv" if name == "good" else f"{name}.csv"
        (folder / path).write_text(content)
    return folder


def test_each_remedy_of_a_refused_stream_file_leads_out(commands: Commands, tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "my $data's", songs=SONGS, users=USERS, good=GOOD)
    (folder / NASTY).write_text(BAD)
    landing.from_folder(str(folder)).land(commands.lake.s3)
    ways = refused(commands.lake, folder)
    assert [way.purpose for way in ways] == ["once it is corrected", "to go on without", "to take it away"]
    fix, go_on, take_away = (way.command for way in ways)

    assert commands.paste(fix) == 1, "it is not corrected yet"
    assert commands.paste(go_on) == 0
    landing.from_folder(str(folder)).land(commands.lake.s3)
    assert commands.paste(take_away) == 0
    assert commands.paste(go_on) == 0
    (folder / NASTY).write_text(GOOD)
    assert commands.paste(fix) == 0
    assert commands.lake.keys(layout.REMOVED_FILES)


@pytest.mark.parametrize("table", ["songs", "users"])
def test_with_a_table_at_fault_only_correcting_is_offered(commands: Commands, tmp_path: Path, table: str) -> None:
    folder = folder_with(tmp_path / "mine", **{"songs": SONGS, "users": USERS, "good": GOOD, table: BAD})
    landing.from_folder(str(folder)).land(commands.lake.s3)

    (fix,) = refused(commands.lake, folder)

    assert commands.paste(fix.command) == 1, "it is not corrected yet"
    (folder / f"{table}.csv").write_text({"songs": SONGS, "users": USERS}[table])
    assert commands.paste(fix.command) == 0


def test_what_cannot_be_copied_is_not_to_be_taken_away_by_a_copy(commands: Commands) -> None:
    for key, content in ((layout.SONGS, SONGS), (layout.USERS, USERS), (f"{STREAMS}/good.csv", GOOD)):
        commands.lake.put(key, content)
    commands.lake.producer.put_object(Bucket=BUCKET, Key=f"{STREAMS}/a.csv", Body=b"x", StorageClass="GLACIER")

    (go_on,) = refused(commands.lake, None)

    assert commands.paste(go_on.command) == 0


def test_without_a_folder_of_the_users_none_is_named(commands: Commands) -> None:
    for key, content in ((layout.SONGS, BAD), (layout.USERS, USERS), (f"{STREAMS}/a.csv", GOOD)):
        commands.lake.put(key, content)
    assert refused(commands.lake, None) == []


def test_of_many_refused_files_a_few_are_offered_one_by_one(commands: Commands) -> None:
    for name in (layout.SONGS, layout.USERS, *(f"{STREAMS}/{number}.csv" for number in range(9))):
        commands.lake.put(name, {layout.SONGS: SONGS, layout.USERS: USERS}.get(name, BAD))
    ways = refused(commands.lake, None)
    assert [way.purpose for way in ways] == ["to go on without", *["to take it away"] * 3]


def rejected(commands: Commands, rows_rejected: int) -> list[Remedy]:
    """The ways out of a run whose curation has rejected some of 7 rows."""
    folder = layout.BatchFolder(BATCH)
    row = '{"reason": "user_id is missing", "source_file": "music_streams/user_streams/a.csv", "raw_line": ",t1,x"}\n'
    commands.lake.put(f"{folder.quarantined_rows}/attempt=jr_1/0.json", row * rows_rejected)
    files = [{"key": f"{STREAMS}/a.csv"}]
    record = {"batch_id": BATCH, "attempt": "jr_1", "files": files, "rows_read": 7, "rows_rejected": rows_rejected}
    bucket = Bucket(BUCKET, commands.lake.s3)
    bucket.write_json(folder.rejected_record, record)
    return remedies(bucket, BATCH, CURATION, None)


def test_after_too_many_rejected_rows_they_are_shown_and_the_limit_that_suffices_is_named(
    commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    see, go_on = rejected(commands, 2)

    assert commands.paste(see.command) == 0
    assert "user_id is missing: ',t1,x' in user_streams/a.csv" in capsys.readouterr().out
    _, arguments = typed(go_on.command)
    assert pipeline_run.dag_params(arguments["MUSIC_STREAMS_ARGUMENT_PARAMS"]) == {"max_reject_rate": 0.29}


def test_where_every_row_was_rejected_no_limit_is_offered(commands: Commands) -> None:
    assert [way.purpose for way in rejected(commands, 7)] == ["to see the rows"]


def test_a_folder_that_has_none_of_the_files_at_fault_is_not_landed_again(commands: Commands, tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "mine", songs=SONGS, users=USERS, good=GOOD)
    landing.from_folder(str(folder)).land(commands.lake.s3)
    commands.lake.put(f"{STREAMS}/of an earlier folder.csv", BAD)

    go_on, take_away = refused(commands.lake, folder)

    assert commands.paste(take_away.command) == 0
    assert commands.paste(go_on.command) == 0


def test_a_file_whose_name_is_too_long_is_taken_away(commands: Commands) -> None:
    for key, content in ((layout.SONGS, SONGS), (layout.USERS, USERS), (f"{STREAMS}/good.csv", GOOD)):
        commands.lake.put(key, content)
    commands.lake.put(f"{STREAMS}/{'x' * 940}.csv", GOOD)
    bucket = Bucket(BUCKET, commands.lake.s3)
    write_verdict(bucket, BATCH, passed=False, message="the name has more than 900 bytes")

    (take_away,) = remedies(bucket, BATCH, VALIDATION, None)

    assert commands.paste(take_away.command) == 0
    assert commands.paste("make run PARAMS='{}'") == 0


def test_where_params_were_refused_the_error_says_all(commands: Commands) -> None:
    bucket = Bucket(BUCKET, commands.lake.s3)
    write_verdict(bucket, BATCH, passed=False, message="recompute_from is 'x': write a date like 2024-06-25")
    assert remedies(bucket, BATCH, VALIDATION, None) == []


def test_after_any_other_failure_the_run_is_tried_again_and_nothing_new_lands(commands: Commands) -> None:
    for key, content in ((layout.SONGS, SONGS), (layout.USERS, USERS), (f"{STREAMS}/a.csv", GOOD)):
        commands.lake.put(key, content)
    bucket = Bucket(BUCKET, commands.lake.s3)

    (again,) = remedies(bucket, BATCH, None, None)

    for task in (VALIDATION, CURATION, "test_kpis_reconcile"):
        assert remedies(bucket, BATCH, task, None) == [again]
    assert commands.paste(again.command) == 0
    assert commands.lake.keys(STREAMS) == [f"{STREAMS}/a.csv"]
    assert Home.from_environment().recall(landing.SAMPLE_DAYS) is None
