"""A started job run really runs the job's script, and its states are Glue's."""

import json
import os
import signal
import zipfile
from collections.abc import Iterator
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError

from sandbox.aws.endpoint import AwsEndpoint
from tests.integration.sandbox.aws.conftest import GlueJob, eventually

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient

# Says its process id, then waits until an object appears that tells it to go on.
HELD = """
import boto3, os, sys, threading
bucket = sys.argv[sys.argv.index("--bucket") + 1]
print(os.getpid(), flush=True)
s3 = boto3.client("s3")
while "Contents" not in s3.list_objects_v2(Bucket=bucket, Prefix="go"):
    threading.Event().wait(0.05)
"""

# The same, with a child that ignores the polite signal and outlives its parent unless it is killed.
WITH_CHILD = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c",
    "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); signal.pause()"],
    stdout=subprocess.PIPE)
child.stdout.readline()
print(os.getpid(), child.pid, flush=True)
child.wait()
"""


def held_job(endpoint: AwsEndpoint, **definition: Any) -> GlueJob:
    job = GlueJob(endpoint, HELD, **definition)
    job.glue.update_job(
        JobName=job.name,
        JobUpdate={
            "Role": "role",
            "Command": {"Name": "glueetl", "ScriptLocation": f"s3://{job.bucket}/scripts/the job.py"},
            "DefaultArguments": {"--bucket": job.bucket},
            **definition,  # type: ignore[typeddict-item]
        },
    )
    return job


def processes(job: GlueJob, run_id: str, count: int = 1) -> list[int]:
    """The process ids that the script prints, once it has."""
    return eventually(lambda: [int(word) for word in job.said(run_id).split()][: count or None], 30)


def test_the_script_sees_its_arguments_as_in_glue(endpoint: AwsEndpoint) -> None:
    job = GlueJob(
        endpoint,
        "import json, sys; print(json.dumps(sys.argv))",
        DefaultArguments={"--default": "as defined", "--overridden": "no", "--job-language": "python"},
        NonOverridableArguments={"--fixed": "yes"},
    )
    given = {
        "--overridden": "with blanks, 'single' and \"double\" quotes",
        "--shell": "$HOME; `ls` && exit 1 | * \\",
        "--text": "Ünïcödé\nand a line break",
        "--empty": "",
        "--fixed": "ignored",
    }
    run_id = job.start(Arguments=given)
    run = job.finished(run_id)
    assert run["JobRunState"] == "SUCCEEDED", run
    script, *argv = json.loads(job.said(run_id))
    assert Path(script).name == "the job.py"
    seen = dict(zip(argv[::2], argv[1::2], strict=True))
    assert seen.pop("--JOB_ID").startswith("j_")
    assert seen.pop("--TempDir").startswith("s3://")
    assert seen == {
        **given,
        "--default": "as defined",
        "--fixed": "yes",
        "--job-language": "python",
        "--JOB_NAME": job.name,
        "--JOB_RUN_ID": run_id,
    }
    assert run["Arguments"]["--overridden"] == given["--overridden"]


def test_a_successful_run_reports_itself_as_glue_does(endpoint: AwsEndpoint) -> None:
    job = GlueJob(endpoint, "print('out')", WorkerType="G.1X", NumberOfWorkers=2, GlueVersion="6.0", Timeout=60)
    run_id = job.start(Timeout=30)
    run = job.finished(run_id)
    assert (run["Id"], run["JobName"], run["JobRunState"], run["Attempt"]) == (run_id, job.name, "SUCCEEDED", 0)
    assert run["StartedOn"] <= run["CompletedOn"] <= run["LastModifiedOn"]
    assert (run["Timeout"], run["WorkerType"], run["NumberOfWorkers"]) == (30, "G.1X", 2)
    assert (run["GlueVersion"], run["LogGroupName"]) == ("6.0", "/aws-glue/jobs")
    assert run["ExecutionTime"] >= 0
    assert "ErrorMessage" not in run
    assert job.said(run_id) == "out\n"


def test_a_failing_script_fails_its_run_with_the_exception(endpoint: AwsEndpoint) -> None:
    script = """
try:
    raise KeyError("first")
except KeyError:
    raise ValueError("user_streams/x.csv: listen_time: 3 of 5 rows")
"""
    job = GlueJob(endpoint, script)
    run_id = job.start()
    run = job.finished(run_id)
    assert run["JobRunState"] == "FAILED"
    assert run["ErrorMessage"] == "ValueError: user_streams/x.csv: listen_time: 3 of 5 rows"
    assert "Traceback" in (job.folder(run_id) / "stderr.log").read_text()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("import sys; sys.exit(3)", "exit code 3"),
        ("import sys; sys.exit('no such batch')", "no such batch"),
        ("this is no python", "SyntaxError: invalid syntax"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_every_end_but_success_is_a_failure(endpoint: AwsEndpoint, script: str, message: str) -> None:
    job = GlueJob(endpoint, script)
    run = job.finished(job.start())
    assert run["JobRunState"] == "FAILED"
    assert message in run["ErrorMessage"]


def test_killing_the_process_of_the_script_fails_the_run(endpoint: AwsEndpoint) -> None:
    job = held_job(endpoint)
    run_id = job.start()
    os.kill(processes(job, run_id)[0], signal.SIGKILL)
    run = job.finished(run_id)
    assert run["JobRunState"] == "FAILED"
    assert "SIGKILL" in run["ErrorMessage"]


def test_extra_py_files_can_be_imported(endpoint: AwsEndpoint) -> None:
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as package:
        package.writestr("shared/__init__.py", "")
        package.writestr("shared/names.py", "BATCH = 'from the archive'")
    job = GlueJob(endpoint, "import shared.names, single; print(shared.names.BATCH, single.VALUE)")
    job.s3.put_object(Bucket=job.bucket, Key="artifacts/shared.zip", Body=archive.getvalue())
    job.put("artifacts/single.py", "VALUE = 'and the module'")
    files = f"s3://{job.bucket}/artifacts/shared.zip, s3://{job.bucket}/artifacts/single.py"
    run_id = job.start(Arguments={"--extra-py-files": files})
    assert job.finished(run_id)["JobRunState"] == "SUCCEEDED"
    assert job.said(run_id) == "from the archive and the module\n"


def test_the_script_does_not_see_the_servers_own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSIC_STREAMS_BUCKET", "a Glue worker would not have it")
    with AwsEndpoint(tmp_path) as endpoint:
        job = GlueJob(endpoint, "import json, os; print(json.dumps(dict(os.environ)))")
        run_id = job.start()
        job.finished(run_id)
        environment = json.loads(job.said(run_id))
    assert "MUSIC_STREAMS_BUCKET" not in environment
    assert environment["AWS_ENDPOINT_URL"] == endpoint.url
    assert environment["TZ"] == "UTC"


def test_a_missing_script_is_an_error(endpoint: AwsEndpoint) -> None:
    job = GlueJob(endpoint, "")
    job.s3.delete_object(Bucket=job.bucket, Key="scripts/the job.py")
    run = job.finished(job.start())
    assert run["JobRunState"] == "ERROR"
    assert f"s3://{job.bucket}/scripts/the job.py" in run["ErrorMessage"]


def test_a_missing_library_is_an_error(endpoint: AwsEndpoint) -> None:
    job = GlueJob(endpoint, "print('must not run')")
    run_id = job.start(Arguments={"--extra-py-files": "s3://no-such-bucket/library.zip"})
    run = job.finished(run_id)
    assert run["JobRunState"] == "ERROR"
    assert "s3://no-such-bucket/library.zip" in run["ErrorMessage"]
    assert job.said(run_id) == ""


def test_runs_queue_in_order_when_the_job_runs_already(endpoint: AwsEndpoint) -> None:
    job = held_job(endpoint, ExecutionProperty={"MaxConcurrentRuns": 1})
    runs = [job.start(JobRunQueuingEnabled=True) for _ in range(3)]
    processes(job, runs[0])
    assert [job.state(run_id) for run_id in runs] == ["RUNNING", "WAITING", "WAITING"]
    job.put("go", "")
    finished = [job.finished(run_id) for run_id in runs]
    assert [run["JobRunState"] for run in finished] == ["SUCCEEDED"] * 3
    for earlier, later in pairwise(finished):
        assert earlier["CompletedOn"] <= later["StartedOn"]


def test_a_run_too_many_that_does_not_ask_for_queuing_is_refused_whatever_its_job_says(endpoint: AwsEndpoint) -> None:
    job = held_job(endpoint, ExecutionProperty={"MaxConcurrentRuns": 2}, JobRunQueuingEnabled=True)
    runs = [job.start(), job.start()]
    with pytest.raises(job.glue.exceptions.ConcurrentRunsExceededException):
        job.start()
    queued = job.start(JobRunQueuingEnabled=True)
    assert job.state(queued) == "WAITING"
    job.put("go", "")
    assert {job.finished(run_id)["JobRunState"] for run_id in [*runs, queued]} == {"SUCCEEDED"}
    assert job.finished(job.start())["JobRunState"] == "SUCCEEDED"


def test_different_jobs_do_not_wait_for_each_other(endpoint: AwsEndpoint) -> None:
    jobs = [held_job(endpoint, ExecutionProperty={"MaxConcurrentRuns": 1}) for _ in range(2)]
    runs = [job.start() for job in jobs]
    for job, run_id in zip(jobs, runs, strict=True):
        processes(job, run_id)
    assert [job.state(run_id) for job, run_id in zip(jobs, runs, strict=True)] == ["RUNNING", "RUNNING"]
    for job, run_id in zip(jobs, runs, strict=True):
        job.put("go", "")
        assert job.finished(run_id)["JobRunState"] == "SUCCEEDED"


def test_a_stopped_run_ends_with_all_its_processes(endpoint: AwsEndpoint) -> None:
    job = GlueJob(endpoint, WITH_CHILD)
    running, queued = job.start(), job.start(JobRunQueuingEnabled=True)
    script, child = processes(job, running, 2)
    answer = job.glue.batch_stop_job_run(JobName=job.name, JobRunIds=[queued, running])
    assert [entry["JobRunId"] for entry in answer["SuccessfulSubmissions"]] == [queued, running]
    assert answer["Errors"] == []
    assert job.state(queued) == "STOPPED"
    assert job.state(running) in ("STOPPING", "STOPPED")
    assert job.finished(running)["JobRunState"] == "STOPPED"
    eventually(lambda: not psutil.pid_exists(script) and not psutil.pid_exists(child))
    assert job.said(queued) == ""


def test_stopping_what_is_unknown_or_over_is_an_error(endpoint: AwsEndpoint) -> None:
    job = GlueJob(endpoint, "")
    over = job.start()
    job.finished(over)
    answer = job.glue.batch_stop_job_run(JobName=job.name, JobRunIds=["jr_unknown", over])
    assert answer["SuccessfulSubmissions"] == []
    assert [entry["JobRunId"] for entry in answer["Errors"]] == ["jr_unknown", over]
    assert answer["Errors"][0]["ErrorDetail"]["ErrorCode"] == "EntityNotFoundException"
    assert job.state(over) == "SUCCEEDED"


def test_a_run_that_takes_too_long_is_timed_out(endpoint: AwsEndpoint) -> None:
    job = held_job(endpoint, Timeout=60)
    run_id = job.start(Timeout=4)
    run = job.finished(run_id)
    assert run["JobRunState"] == "TIMEOUT"
    assert run["Timeout"] == 4
    assert not psutil.pid_exists(processes(job, run_id)[0])


def test_a_run_that_waits_too_long_expires(tmp_path: Path) -> None:
    with AwsEndpoint(tmp_path, seconds_per_minute=0.5, queue_minutes=1) as endpoint:
        job = held_job(endpoint)
        running, queued = job.start(), job.start(JobRunQueuingEnabled=True)
        assert job.finished(queued)["JobRunState"] == "EXPIRED"
        assert job.said(queued) == ""
        job.put("go", "")
        assert job.finished(running)["JobRunState"] == "SUCCEEDED"


def test_unknown_jobs_and_runs_are_not_found(glue: "GlueClient", endpoint: AwsEndpoint) -> None:
    not_found = glue.exceptions.EntityNotFoundException
    job = GlueJob(endpoint, "")
    other = GlueJob(endpoint, "")
    run_id = job.start()
    for call in (
        lambda: glue.get_job_run(JobName=job.name, RunId="jr_unknown"),
        lambda: glue.get_job_run(JobName=other.name, RunId=run_id),
        lambda: glue.get_job_run(JobName="unknown", RunId=run_id),
        lambda: glue.get_job_runs(JobName="unknown"),
        lambda: glue.start_job_run(JobName="unknown"),
        lambda: glue.update_job(JobName="unknown", JobUpdate={}),
    ):
        with pytest.raises(not_found):
            call()


def test_runs_are_listed_latest_first_page_by_page(endpoint: AwsEndpoint) -> None:
    job = GlueJob(endpoint, "")
    runs = [job.start(JobRunQueuingEnabled=True) for _ in range(5)]
    pages = job.glue.get_paginator("get_job_runs").paginate(JobName=job.name, PaginationConfig={"PageSize": 2})
    assert [run["Id"] for page in pages for run in page["JobRuns"]] == runs[::-1]
    for run_id in runs:
        assert job.finished(run_id)["JobRunState"] == "SUCCEEDED"


def test_a_definition_can_be_updated_but_not_created_twice(glue: "GlueClient", endpoint: AwsEndpoint) -> None:
    job = GlueJob(endpoint, "import sys; print(sys.argv[sys.argv.index('--which') + 1])")
    command: Any = {"Name": "glueetl", "ScriptLocation": f"s3://{job.bucket}/scripts/the job.py"}
    glue.create_job(Name=job.name, Role="role", Command=command)
    with pytest.raises(ClientError, match="IdempotentParameterMismatch"):
        glue.create_job(Name=job.name, Role="role", Command=command, Timeout=7)
    update: Any = {"Role": "role", "Command": command, "DefaultArguments": {"--which": "updated"}, "Timeout": 7}
    glue.update_job(JobName=job.name, JobUpdate=update | {"JobRunQueuingEnabled": True})
    defined = glue.get_job(JobName=job.name)["Job"]
    assert (defined["Timeout"], defined["JobRunQueuingEnabled"]) == (7, True)
    run_id = job.start()
    assert job.finished(run_id)["JobRunState"] == "SUCCEEDED"
    assert job.said(run_id) == "updated\n"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    left = [process.pid for process in psutil.process_iter(["cmdline"]) if str(tmp_path) in str(process.info)]
    assert left == [], "processes outlived the endpoint"


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_scripts_end_with_the_server_and_their_runs_are_not_forgotten(home: Path, end: str) -> None:
    endpoint = AwsEndpoint(home).start()
    job = GlueJob(endpoint, WITH_CHILD)
    running, queued = job.start(), job.start(JobRunQueuingEnabled=True)
    pids = processes(job, running, 2)
    finished = GlueJob(endpoint, "print('done')")
    over = finished.start()
    finished.finished(over)

    getattr(endpoint, end)()
    eventually(lambda: not any(psutil.pid_exists(pid) for pid in pids))

    with AwsEndpoint(home) as again:
        glue: GlueClient = again.client("glue")

        def run(name: str, run_id: str) -> Any:
            return glue.get_job_run(JobName=name, RunId=run_id)["JobRun"]

        assert run(job.name, running)["JobRunState"] == "FAILED"
        assert "sandbox was stopped" in run(job.name, running)["ErrorMessage"]
        assert run(job.name, queued)["JobRunState"] == "EXPIRED"
        assert run(finished.name, over)["JobRunState"] == "SUCCEEDED"
        assert [entry["Id"] for entry in glue.get_job_runs(JobName=job.name)["JobRuns"]] == [queued, running]


def test_nothing_listens_but_on_this_machines_own_interface(endpoint: AwsEndpoint) -> None:
    assert endpoint.process
    addresses = {
        connection.laddr.ip
        for connection in psutil.Process(endpoint.process.pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses == {"127.0.0.1"}


SPARK_JOB = """
import io, psutil, sys
import pyarrow as pa
from pyspark.sql import SparkSession

bucket = sys.argv[sys.argv.index("--bucket") + 1]

def count_plays(tasks):
    import boto3, duckdb, pyarrow.csv, pyarrow.parquet as pq
    s3 = boto3.client("s3")
    for task in tasks:
        for key in task["key"].to_pylist():
            plays = pa.csv.read_csv(s3.get_object(Bucket=bucket, Key=key)["Body"])
            counted = duckdb.sql("select track_id, count(*) as plays from plays group by track_id").to_arrow_table()
            parquet = io.BytesIO()
            pq.write_table(counted, parquet)
            s3.put_object(Bucket=bucket, Key=f"counted/{key}.parquet", Body=parquet.getvalue())
            yield pa.RecordBatch.from_pydict({"key": [key], "tracks": [counted.num_rows]})

spark = SparkSession.builder.appName("plays").getOrCreate()
tasks = spark.createDataFrame(pa.table({"key": ["landed/a b.csv", "landed/c.csv"]})).repartition(2, "key")
counts = tasks.mapInArrow(count_plays, "key string, tracks long").collect()
print(sorted((row.key, row.tracks) for row in counts))
sockets = [socket for child in psutil.Process().children(recursive=True) for socket in child.net_connections()]
print({socket.laddr.ip.removeprefix("::ffff:") for socket in sockets if socket.status == psutil.CONN_LISTEN})
spark.stop()
"""


def test_a_spark_job_whose_kernel_reads_and_writes_s3_with_the_locked_packages(endpoint: AwsEndpoint) -> None:
    job = GlueJob(endpoint, SPARK_JOB, Timeout=600)
    job.put("landed/a b.csv", 'user_id,track_id\nu1,"t,1"\nu2,"t,1"\n')
    job.put("landed/c.csv", "user_id,track_id\nu1,t2\nu1,t3\n")
    modules = "s3://no-such-bucket/wheels.gluewheels.zip"  # for Glue's own Python: here nobody fetches it
    conf = "spark.app.id=x --conf spark.ui.port=1"
    run_id = job.start(Arguments={"--bucket": job.bucket, "--conf": conf, "--additional-python-modules": modules})

    run = job.finished(run_id)

    assert run["JobRunState"] == "SUCCEEDED", (job.folder(run_id) / "stderr.log").read_text()
    assert job.said(run_id) == "[('landed/a b.csv', 1), ('landed/c.csv', 2)]\n{'127.0.0.1'}\n", "nothing else listens"
    written = job.s3.get_object(Bucket=job.bucket, Key="counted/landed/a b.csv.parquet")["Body"].read()
    assert pq.read_table(BytesIO(written)).to_pylist() == [{"track_id": "t,1", "plays": 2}]
    assert not (job.folder(run_id) / "scratch").exists()
