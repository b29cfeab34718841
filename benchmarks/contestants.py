"""Run and measure the contestants on the same files: our jobs, one DuckDB process, and two naive Spark scripts."""

import io
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet

from benchmarks.day import batch_of
from benchmarks.one_process import RESULTS, THREADS
from benchmarks.process_tree import Meter, Usage, descendants, measure
from contract import layout
from contract.bucket import Bucket
from contract.jobs import CURATION_JOB, curation_arguments, kpi_arguments
from contract.kpi_tables import KPI_TABLES
from contract.rejections import latest_listen_time
from glue_jobs.compute_kpis import AUDIT_COLUMNS
from infra.deployment import Deployment
from sandbox import landing
from sandbox.aws.credentials import ACCESS_KEY_ID
from sandbox.aws.endpoint import AwsEndpoint
from sandbox.aws.spark_settings import DEFAULTS, java_home, spark_environment
from sandbox.aws_account import glue_release
from sandbox.home import REPOSITORY
from sandbox.sample_events import FIRST_DAY
from sandbox.settings import BUCKET, STAGE

VALIDATION = "validation"
# A table that only our jobs compute is not compared.
CONTESTED = tuple(table for table in KPI_TABLES if Path(__file__).with_name(f"naive_{table.name}.py").exists())
NAIVE_SCRIPTS = tuple(f"naive_{table.name}" for table in CONTESTED)
NAIVE_SETTINGS = f"""\
spark.master local[{THREADS}]
spark.driver.memory 4g
spark.driver.host 127.0.0.1
spark.ui.enabled false
spark.ui.showConsoleProgress false
"""

MAX_REJECT_RATE = 0.05
POLL_SECONDS = 0.5
UNDER_WAY = frozenset({"WAITING", "STARTING", "RUNNING", "STOPPING"})


@dataclass(frozen=True)
class Results:
    """A contestant's results, in the form in which they are compared.

    Attributes:
        kpis: The rows of each KPI table.
        accepted: The number of accepted events by date.
        rejected: The number of rejected rows by reason.
    """

    kpis: Mapping[str, pa.Table]
    accepted: Mapping[str, int]
    rejected: Mapping[str, int]


@dataclass(frozen=True)
class OurRun:
    """The resources that our code has used, and its results.

    Attributes:
        steps: The usage of each step, by its name.
        s3_server: The usage of the sandbox's S3 during each step, by the same names.
    """

    steps: Mapping[str, Usage]
    s3_server: Mapping[str, Usage]
    results: Results


def run_one_process(landed: Path, home: Path) -> tuple[Usage, Results]:
    """Make one DuckDB process do all the work on the files of a folder."""
    latest = latest_listen_time(datetime.now(UTC))
    command = [sys.executable, "-m", "benchmarks.one_process", str(landed), latest.isoformat()]
    usage = measure(command, _environment(), home / "one_process.log")
    folder = landed / RESULTS
    curated = pyarrow.dataset.dataset(folder / "curated", partitioning="hive")
    dates = Counter(str(date) for date in curated.to_table(columns=["listen_date"])["listen_date"].to_pylist())
    with (folder / "rejected.json").open(encoding="utf-8") as lines:
        reasons = Counter(json.loads(line)["reason"] for line in lines)
    kpis = {table.name: pyarrow.parquet.read_table(folder / f"{table.name}.parquet") for table in CONTESTED}
    return usage, Results(kpis, dates, reasons)


def run_naive_scripts(landed: Path, home: Path) -> dict[str, Usage]:
    """Run both scripts, one after another; return the usage of each, by its name."""
    conf = home / "naive-conf"
    conf.mkdir()
    (conf / DEFAULTS).write_text(f"{NAIVE_SETTINGS}spark.local.dir {home}\n", encoding="utf-8")
    environment = _environment() | spark_environment(conf, java_home())
    return {
        script: measure(
            [sys.executable, "-m", f"benchmarks.{script}", str(landed), str(home / script)],
            environment,
            home / f"{script}.log",
        )
        for script in NAIVE_SCRIPTS
    }


def run_our_jobs(landed: Path, home: Path) -> OurRun:
    """Land the files in a lake, then validate, curate and compute, one step after another, each in its own process."""
    batch_id = batch_of(FIRST_DAY)
    with AwsEndpoint(home / "aws", administrator=ACCESS_KEY_ID) as endpoint:
        Deployment(STAGE, endpoint.client, glue_release, lambda *_: None, poll_seconds=0.01).deploy_lake()
        bucket = Bucket(BUCKET, endpoint.client("s3"))
        landing.from_folder(str(landed)).land(bucket.s3)
        steps, s3_server = {}, {}
        assert endpoint.process
        server = psutil.Process(endpoint.process.pid)

        with Meter(lambda: [server]) as meter:
            command = [sys.executable, "-m", "benchmarks.first_task", BUCKET, batch_id]
            steps[VALIDATION] = measure(command, _environment() | endpoint.environment(), home / "validation.log")
        s3_server[VALIDATION] = meter.usage

        glue = endpoint.client("glue")
        jobs = {CURATION_JOB: curation_arguments(BUCKET, batch_id, MAX_REJECT_RATE)}
        jobs |= {table.glue_job: kpi_arguments(BUCKET, batch_id, table) for table in CONTESTED}
        for name, arguments in jobs.items():
            with Meter(lambda: [server]) as meter, Meter(lambda: descendants(server)) as job_meter:
                _run_job(glue, name, arguments)
            steps[name], s3_server[name] = job_meter.usage, meter.usage
        return OurRun(steps, s3_server, _our_results(bucket, batch_id))


def _run_job(glue: Any, name: str, arguments: Mapping[str, str]) -> None:
    run_id = glue.start_job_run(JobName=name, Arguments=arguments)["JobRunId"]
    while (run := glue.get_job_run(JobName=name, RunId=run_id)["JobRun"])["JobRunState"] in UNDER_WAY:
        time.sleep(POLL_SECONDS)
    if run["JobRunState"] != "SUCCEEDED":
        raise ChildProcessError(f"Glue job {name} ended as {run['JobRunState']}: {run.get('ErrorMessage')}")


def _our_results(bucket: Bucket, batch_id: str) -> Results:
    record = _record(bucket, layout.BatchFolder(batch_id).curation_record)
    kpis = {}
    for table in CONTESTED:
        entries = _record(bucket, table.copy_manifest(batch_id))["entries"]
        keys = [entry["url"].removeprefix(bucket.url("")) for entry in entries]
        parts = [pyarrow.parquet.read_table(io.BytesIO(bucket.read(key))) for key in keys]
        kpis[table.name] = pa.concat_tables(parts).drop_columns(AUDIT_COLUMNS)
    return Results(kpis, record["accepted_by_date"], record["rejected_by_reason"])


def _record(bucket: Bucket, key: str) -> dict[str, Any]:
    found = bucket.read_json(key)
    if found is None:
        raise LookupError(f"{bucket.url(key)} is missing: the job that writes it has ended without it")
    return found


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "dags")]), "TZ": "UTC"}
