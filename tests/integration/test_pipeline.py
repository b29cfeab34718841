"""The whole pipeline on the whole sandbox: a user types `make run`, Airflow runs the DAG, and the tables are exact."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import requests

from contract import layout
from contract.bucket import Bucket
from sandbox import event_queries
from sandbox.home import REPOSITORY
from sandbox.settings import AIRFLOW_ROLE
from tests.integration.conftest import DagRunResult, RunningSandbox
from tests.integration.exact_tables import assert_exact, sample_day, streams
from tests.integration.secrets_search import assert_no_secret_is_kept
from tests.oracle import Expected
from tests.unit.report.made_up import Page

# What the menu of Airflow's UI leads to, and a word of each page.
IN_AIRFLOW = {"music_streams": "ng-app", "kpi_report": "How listening develops"}
REFUSED = "user_streams/wrong one.csv"


def test_make_run_loads_a_day_of_late_repeated_and_bad_events_exactly(sandbox: RunningSandbox, tmp_path: Path) -> None:
    folder = tmp_path / "my $data's"
    with a_dag_that_waits_for_the_tables(sandbox) as waiting:
        sandbox.empty()
        files = sample_day(folder, 0)
        (folder / REFUSED).write_bytes(b"user_id,listen_time\n1,2024-06-25 10:00:00\n")
        sandbox.wait_for_dag(waiting)
        typed = sandbox.make("run", DATA=str(folder), PARAMS='{"on_invalid_stream_file": "quarantine"}')
        assert typed.returncode == 0, typed.stdout + typed.stderr
        (followed,) = sandbox.ended_runs_of(waiting, number=1)
        assert followed["state"] == "success"
        assert followed["run_type"] == "asset_triggered"
    links = dict(re.findall(r"^  (\w[\w ]*\w)  +(http\S+)", typed.stdout, re.MULTILINE))
    run = sandbox.end_of_printed(typed.stdout)
    expected = assert_exact(sandbox, files)
    assert len(expected.accepted_by_date) > 1
    assert expected.duplicates > 0
    assert expected.rejected.total() > 0
    assert sandbox.keys("user_streams/") == []
    assert hours_of_events(sandbox) == sandbox.query(
        "select listen_date, listen_hour, listen_count from hourly_kpis order by 1, 2"
    )
    assert_recorded(sandbox, run, expected)
    assert {Path(key).name for key in sandbox.keys(f"user-streams-archived/{run.batch_id}/")} == {
        Path(name).name for name in streams(files)
    }
    assert_printed(typed.stdout, expected, len(streams(files)))
    assert_published(sandbox, links)
    assert_the_report_shows_the_tables(sandbox, run.batch_id)
    assert_catalogues_find_what_dbt_did(sandbox, run.batch_id)
    assert_no_secret_is_kept(sandbox.sandbox.home, run.batch_id)
    assert users_of_dbt(sandbox) == {f"IAMR:{AIRFLOW_ROLE}"}


def assert_printed(printed: str, expected: Expected, files: int) -> None:
    """`make run` has reported what became of each row and file, and has shown the tables."""
    words = " ".join(printed.replace("│", " ").split())
    dates, rejected = sorted(expected.accepted_by_date), expected.rejected.total()
    read = expected.accepted + expected.duplicates + rejected
    main_date = max(dates, key=lambda date: (expected.accepted_by_date[date], date))
    genres = [key for key in expected.genre_level_kpis if key[0] == main_date]
    hours = sorted((hour, row) for (date, hour), row in expected.hourly_kpis.items() if date == main_date)
    for fact in (
        f"rows read {read:,} {files} files",
        f"events accepted {expected.accepted:,}",
        f"duplicate {expected.duplicates:,}",
        f"rejected {rejected:,} {rejected / read:.2%} of 5% allowed: ",
        *(f"{reason} {count:,}" for reason, count in expected.rejected.items()),
        f"dates computed {len(dates)} {dates[0]} to {dates[-1]}",
        f"rows merged {len(expected.genre_level_kpis):,} genre_level_kpis",
        f"rows merged {len(expected.hourly_kpis):,} hourly_kpis",
        f"files archived {files}",
        f"files refused 1 {Path(REFUSED).name}",
        "✔ move_files",
        f"genre_level_kpis on {main_date}: 5 of {len(genres)} rows",
        *(f" {row['top_artist']} " for _, row in hours[:5]),  # names with quotes among them
    ):
        assert fact in words


def assert_published(sandbox: RunningSandbox, links: Mapping[str, str]) -> None:
    """Each page that `make run` names opens, Airflow's menu leads to two of them, and events are no pages."""
    assert set(links) == {"validation pages", "dbt docs", "page of charts", "Airflow"}
    for link in links.values():
        requests.get(link, timeout=30).raise_for_status()
    for name, word in IN_AIRFLOW.items():
        page = f"{sandbox.sandbox.ports.airflow_url}/cosmos/{name}/dbt_docs_index.html"
        assert word in requests.get(page, timeout=30).text
    assert sandbox.make("report").stdout == f"The page of charts is at {links['page of charts']}\n"
    archived = sandbox.keys("user-streams-archived/")[0]
    event_file = f"{sandbox.sandbox.ports.aws_endpoint}/{sandbox.bucket}/{layout.ROOT}/{archived}"
    assert requests.get(event_file, timeout=30).status_code == HTTPStatus.FORBIDDEN


def users_of_dbt(sandbox: RunningSandbox) -> set[str]:
    """As whom the DAG's dbt has sent its statements to the warehouse."""
    log = sandbox.sandbox.home.redshift / "statements.jsonl"
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    return {entry["user"] for entry in entries if entry["sql"].lstrip().startswith('/* {"app": "dbt"')}


def hours_of_events(sandbox: RunningSandbox) -> list[dict[str, Any]]:
    """Plays by date and hour, as SQL on single events counts them."""
    secrets = sandbox.sandbox.home.secrets()
    store = event_queries.store(
        sandbox.sandbox.ports.aws_endpoint, secrets.aws_access_key_id, secrets.aws_secret_access_key
    )
    names = ("listen_date", "listen_hour", "listen_count")
    with event_queries.connection(Bucket(sandbox.bucket, sandbox.s3), store) as database:
        rows = database.sql("select listen_date, hour(listen_time), count(*) from events group by all order by all")
        return [dict(zip(names, row, strict=True)) for row in rows.fetchall()]


def assert_recorded(sandbox: RunningSandbox, run: DagRunResult, expected: Expected) -> None:
    """The run's record has the counts that plain Python finds."""
    record = Bucket(sandbox.bucket, sandbox.s3).read_json(layout.BatchFolder(run.batch_id).run_record)
    assert record is not None
    assert (record["run_id"], record["accepted"], record["duplicates"]) == (
        run.run_id,
        expected.accepted,
        expected.duplicates,
    )
    assert record["rejected"] == dict(expected.rejected)
    assert record["events_by_date"] == {day.isoformat(): n for day, n in expected.accepted_by_date.items()}
    refused = [f"{layout.ROOT}/{REFUSED}"]
    assert (record["refused_files"], record["left_lying"], record["late_events"]) == (refused, [], 0)


def assert_catalogues_find_what_dbt_did(sandbox: RunningSandbox, batch_id: str) -> None:
    """The artifacts of dbt lie beside the docs and among those of the run, with the results of all its commands."""
    lake = Bucket(sandbox.bucket, sandbox.s3)
    for name in ("manifest.json", "catalog.json", "run_results.json"):
        assert lake.read_json(f"{layout.DBT_DOCS}/{name}") == lake.read_json(f"{layout.DBT_RUNS}/{batch_id}/{name}")
    manifest, results = (lake.read_json(f"{layout.DBT_DOCS}/{name}.json") or {} for name in ("manifest", "run_results"))
    reported = {result["unique_id"] for result in results["results"]}
    models = {name: node for name, node in manifest["nodes"].items() if node["resource_type"] == "model"}
    reports = {name for name, node in models.items() if "reports" in node["tags"]}
    tests = {
        name
        for name, node in manifest["nodes"].items()
        if node["resource_type"] == "test" and not reports & {*node["depends_on"]["nodes"]}
    }
    assert reported == {*models} | tests


@contextmanager
def a_dag_that_waits_for_the_tables(sandbox: RunningSandbox) -> Iterator[str]:
    """The DAG of docs/kpis.md stands beside the pipeline's; gives its id."""
    (source,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "kpis.md").read_text(), re.DOTALL)
    file = sandbox.sandbox.home.dags / "after_new_kpis.py"
    file.write_text(source)
    try:
        yield file.stem
    finally:
        file.unlink()
        sandbox.pause(file.stem)


def assert_the_report_shows_the_tables(sandbox: RunningSandbox, batch_id: str) -> None:
    """The published page holds the warehouse's figures, each as it stands in the KPI tables, and the run itself."""
    answer = sandbox.s3.get_object(Bucket=sandbox.bucket, Key=layout.KPI_REPORT_PAGE)
    assert answer["ContentType"] == "text/html; charset=utf-8"
    html = answer["Body"].read().decode()
    assert f"<code>{batch_id}</code>" in html
    page = Page(html)

    genres = sandbox.query("select listen_date, track_genre, listen_count, unique_listeners from genre_level_kpis")
    assert {tuple(row.values()) for row in page.rows("genres")} == {
        (str(row["listen_date"]), row["track_genre"], row["listen_count"], row["unique_listeners"]) for row in genres
    }
    hours = sandbox.query(
        "select listen_date, listen_hour, listen_count, unique_listeners, diversity_index, top_artist,"
        " most_engaged_age_group from hourly_kpis"
    )
    assert {tuple(row.values()) for row in page.rows("hours")} == {
        (str(row["listen_date"]), *list(row.values())[1:4], round(row["diversity_index"], 4), *list(row.values())[5:])
        for row in hours
    }
    (of_day,) = sandbox.query(
        "select sum(listen_count)::bigint as plays from hourly_kpis"
        " where listen_date = (select max(listen_date) from hourly_kpis)"
    )
    assert page.texts["plays-of-the-day"] == f"{of_day['plays']:,}"
