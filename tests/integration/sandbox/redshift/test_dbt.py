"""The unmodified dbt-redshift does its work on the gateway."""

import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dbt.cli.main import dbtRunner

from sandbox.redshift.warehouse import Warehouse
from tests.integration.sandbox.redshift.client import gateway_threads, run, wait_for, wait_for_end
from tests.integration.sandbox.redshift.conftest import PASSWORD, Download, Lake

FILES = {
    "dbt_project.yml": """
        name: shop
        profile: shop
        flags: {send_anonymous_usage_stats: false, redshift_skip_autocommit_transaction_statements: false}
        models: {+persist_docs: {relation: true, columns: true}}
        """,
    "models/staged.sql": """
        {{ config(
            materialized='table', dist='day', sort=['day', 'track'], backup=false,
            pre_hook=[
                "create table if not exists {{ target.schema }}.landed (day date, track varchar(16), plays bigint)",
                "truncate {{ target.schema }}.landed",
                "copy {{ target.schema }}.landed from '{{ var('manifest') }}' iam_role default format parquet manifest",
            ],
        ) }}
        select day, track, plays, nvl(track, '?')::varchar(max) as label from {{ target.schema }}.landed
        """,
    "models/daily.sql": """
        {{ config(
            materialized='incremental', incremental_strategy='merge', unique_key=['day', 'track'], dist='even',
            sort_type='interleaved', sort='day', on_schema_change='append_new_columns',
            pre_hook="lock table {{ ref('staged') }}",
        ) }}
        select day, track, plays, getdate() as loaded_at from {{ ref('staged') }}
        {% if is_incremental() %}
        where day >= (select dateadd(day, -1, max(day)) from {{ this }})
        {% endif %}
        """,
    "models/copied.sql": """
        {{ config(materialized='table', enabled=var('copied', false), pre_hook=[
            "create table {{ target.schema }}.copied_before (day date, track varchar(16), plays bigint)",
            "copy {{ target.schema }}.copied_before from '{{ var('manifest') }}' iam_role default "
            "format parquet manifest",
        ]) }}
        select * from {{ target.schema }}.copied_before
        """,
    "models/by_track.sql": """
        {{ config(materialized='view', bind=false) }}
        select track, sum(plays) as plays from {{ ref('daily') }} group by track
        """,
    "models/models.yml": """
        models:
          - name: daily
            description: One row per day and track; "quotes", 'too'.
            config: {contract: {enforced: true}}
            constraints: [{type: primary_key, columns: [day, track]}]
            columns:
              - {name: day, data_type: date, constraints: [{type: not_null}], data_tests: [not_null]}
              - {name: track, data_type: varchar(16), description: The track, data_tests: [not_null]}
              - {name: plays, data_type: bigint}
              - {name: loaded_at, data_type: timestamp}
          - name: by_track
            columns: [{name: track, data_tests: [unique]}]
        unit_tests:
          - name: plays_are_summed_by_track
            model: by_track
            given: [{input: ref('daily'), rows: [{track: a, plays: 1}, {track: a, plays: 2}]}]
            expect: {rows: [{track: a, plays: 3}]}
        """,
}


class SmallProject:
    """A dbt project in a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, *words: str, manifest: str = "") -> Any:
        """Runs one dbt command."""
        return dbtRunner().invoke(self._command(*words, manifest=manifest))

    def start(self, *words: str, **variables: object) -> subprocess.Popen[str]:
        """Starts one dbt command as a process of its own, which a terminal's Ctrl-C would reach."""
        program = Path(sys.executable).with_name("dbt")
        # A suite that runs in a shell's background inherits an ignored SIGINT, and so would dbt.
        heed = (
            "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
        )
        command = [sys.executable, "-c", heed, str(program), *self._command(*words, **variables)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def _command(self, *words: str, **variables: object) -> list[str]:
        places = ["--project-dir", str(self.path), "--profiles-dir", str(self.path), "--target", "t"]
        places += ["--target-path", str(self.path / "target"), "--log-path", str(self.path / "logs")]
        return [*words, "--quiet", "--vars", json.dumps(variables), *places]


@pytest.fixture
def dbt(warehouse: Warehouse, schema: str, tmp_path: Path) -> SmallProject:
    profile = {
        "type": "redshift",
        "host": "127.0.0.1",
        "port": warehouse.port,
        "user": "sandbox",
        "password": PASSWORD,
        "dbname": "dev",
        "schema": schema,
        "sslmode": "disable",
        "threads": 8,
        "retries": 0,
        "query_group": "nightly",
    }
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(content))
    (tmp_path / "profiles.yml").write_text(json.dumps({"shop": {"target": "t", "outputs": {"t": profile}}}))

    return SmallProject(tmp_path)


def manifest(lake: Lake, name: str, tracks: list[str], plays: list[int]) -> str:
    """Stores plays of one day, and the manifest that names them."""
    days = pa.array(["2024-06-25"] * len(tracks)).cast(pa.date32())
    parquet = lake.put_parquet(name, {"d": days, "t": pa.array(tracks), "p": pa.array(plays)})
    return lake.put_manifest(parquet, name=f"{name}.json")


def test_build_merge_and_document(
    dbt: SmallProject, lake: Lake, session: Any, schema: str, statements: Callable[[], list[dict[str, Any]]]
) -> None:
    for name, tracks, plays in (("first", ["a", "b"], [1, 2]), ("second", ["b", "c"], [20, 3])):
        built = dbt.run("build", manifest=manifest(lake, name, tracks, plays))
        assert built.success, [(result.node.name, result.message) for result in built.result if result.failures]
        assert len(built.result) == 7
    assert run(session, "select track, plays from by_track order by track") == [("a", 1), ("b", 20), ("c", 3)]
    assert run(session, f"select obj_description('{schema}.daily'::regclass)") == [
        ("One row per day and track; \"quotes\", 'too'.",)
    ]

    assert dbt.run("docs", "generate").success
    catalog = json.loads((dbt.path / "target" / "catalog.json").read_text())
    daily = catalog["nodes"]["model.shop.daily"]
    assert list(daily["columns"]) == ["day", "track", "plays", "loaded_at"]
    assert daily["columns"]["track"]["type"] == "character varying(16)"
    assert daily["stats"]["max_varchar"]["value"] == 16
    assert catalog["nodes"]["model.shop.by_track"]["metadata"]["type"] == "VIEW"

    logged = [entry["sql"] for entry in statements() if schema in entry["sql"]]
    assert any("diststyle key distkey (day)" in sql and "backup no" in sql for sql in logged)
    assert [entry["outcome"] for entry in statements() if schema in entry["sql"]].count("COPY") == 2


def test_ctrl_c_during_a_copy_and_a_merge_leaves_nothing_behind(
    dbt: SmallProject,
    lake: Lake,
    open_session: Callable[[], Any],
    schema: str,
    download: Download,
) -> None:
    download.may_go_on.set()
    plays = manifest(lake, "plays", ["a", "b"], [1, 2])
    assert dbt.run("run", "--select", "staged", "daily", manifest=plays).success
    owner, observer = open_session(), open_session()
    observer.autocommit = True
    threads = gateway_threads(at_most=1000)
    run(owner, "update daily set plays = 0 where track = 'b'")  # the merge waits for this row
    download.begun.clear()
    download.may_go_on.clear()

    interrupted = dbt.start("run", "--select", "daily", "copied", manifest=plays, copied=True)
    assert download.begun.wait(60)
    sessions = "select pid from pg_stat_activity where state = 'active' and query like %s"
    merge = wait_for(lambda: run(observer, sessions, "%merge into%DBT_INTERNAL_SOURCE%"))
    copy = run(observer, sessions, f"copy {schema}.copied_before%")
    interrupted.send_signal(signal.SIGINT)
    for ((backend,),) in (merge, copy):
        wait_for_end(backend)
    download.may_go_on.set()
    interrupted.communicate(timeout=60)

    assert interrupted.returncode not in (0, -signal.SIGINT)
    gateway_threads(at_most=threads)
    owner.rollback()
    run(owner, "lock table daily, staged, landed")
    assert run(owner, "select track, plays from daily order by track") == [("a", 1), ("b", 2)]
    tables = "select table_name from information_schema.tables where table_schema = %s order by table_name"
    assert run(owner, tables, schema) == [("daily",), ("landed",), ("staged",)]
