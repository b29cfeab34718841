"""Print the summary of `make run`: the run's counts, the duration of each step, the first results, and links."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from music_streams.batches import batch_id
from music_streams.new_tables import new_tables
from rich import box
from rich.console import Console, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from contract import layout
from contract.bucket import Bucket
from contract.kpi_tables import KPI_TABLES
from sandbox import landing, quarantine, warehouse_client
from sandbox.airflow import task_logs
from sandbox.airflow_api import DAG_ID, TaskState
from sandbox.failure import Failure
from sandbox.follow import FinishedRun
from sandbox.home import SandboxError
from sandbox.idle import minutes_until_stop
from sandbox.lifecycle import Sandbox
from sandbox.remedies import remedies, run_command
from sandbox.settings import BUCKET

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MARTS = tuple(table.name for table in KPI_TABLES)
FIRST_ROWS = 5
DATES_SHOWN = 4
NAMES_SHOWN = 10
BAR_WIDTH = 30
BLOCKS = "▁▂▃▄▅▆▇█"

# The steps that the summary shows, each with parts of the ids of its tasks.
STEPS = (
    ("validate", ("validate_datasets", "check_validation", "end_dag")),
    ("curate user streams (Glue)", ("curate_user_streams",)),
    *((f"compute {mart} (Glue)", (f"spark_{mart}_job",)) for mart in MARTS),
    *((f"load {mart} (dbt)", (f"write_{mart}_to_redshift",)) for mart in MARTS),
    ("test that the tables agree (dbt)", ("test_kpis_reconcile",)),
    ("check how old the KPIs are (dbt)", ("check_source_freshness",)),
    ("archive", ("move_files",)),
    ("publish the docs (dbt)", ("publish_dbt_docs",)),
    ("publish the page of charts", ("publish_kpi_report",)),
)


@dataclass(frozen=True)
class Step:
    """Consecutive tasks that form one step; times are in seconds since the run's first task started."""

    name: str
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """The step's duration."""
        return self.end - self.start


def show(console: Console, sandbox: Sandbox, run: FinishedRun) -> None:
    """Print the summary of a run that succeeded."""
    batch = batch_of(run)
    folder, lake = layout.BatchFolder(batch), Bucket(BUCKET, sandbox.aws.s3)
    record, of_run = lake.read_json(folder.curation_record), lake.read_json(folder.run_record)
    if of_run is None:
        raise SandboxError(f"{lake.url(folder.run_record)} is missing, which move_files and end_dag write: clear them")
    console.print()
    text = nothing_done(of_run) if record is None else counts(sandbox, record, of_run)
    console.print(Panel(text, title=f"Batch {batch}", title_align="left", border_style="green", expand=False))
    if record is not None:
        console.print(timeline(steps(run.tasks)))
        console.print(*results(sandbox, record), sep="\n")
    if new := new_tables(Bucket(BUCKET, sandbox.aws.s3)):
        console.print(new.sentence())
        if new.params():
            console.print(f"  {'to apply to all':<18}  {run_command(new.params())}", markup=False, soft_wrap=True)
    show_places(console, sandbox, run, batch)


def show_failure(console: Console, sandbox: Sandbox, run: FinishedRun, failures: Sequence[Failure]) -> None:
    """Report a failed run: the cause in full, the other failed tasks by name."""
    console.print()
    if not failures:
        console.print(f"The run {run.run_id} ended {run.state}, though no task failed: see Airflow.", style="bold red")
    for cause in failures[:1]:
        title = f"[bold red]{cause.task_id} failed[/]"
        console.print(Panel(Text(cause.error), title=title, title_align="left", border_style="red"))
        console.print(f"  its log             {cause.log}", soft_wrap=True)
    data, to_blame = sandbox.home.recall(landing.LAST_FOLDER), failures[0].task_id if failures else None
    for way in remedies(Bucket(BUCKET, sandbox.aws.s3), batch_of(run), to_blame, Path(data) if data else None):
        console.print(f"  {way.purpose:<18}  {way.command}", markup=False, soft_wrap=True)
    if len(failures) > 1:
        console.print(f"  failed too          {', '.join(failure.task_id for failure in failures[1:])}", soft_wrap=True)
    show_places(console, sandbox, run, batch_of(run))


def batch_of(run: FinishedRun) -> str:
    """Return the id of the batch that a DAG run ingests."""
    return batch_id(datetime.fromisoformat(run.run_after), run.run_id)


def nothing_done(of_run: Mapping[str, Any]) -> str:
    """Report a run that computed nothing."""
    if of_run["refused_files"]:
        text = f"Nothing to do: all new stream files were refused and moved aside: {names(of_run['refused_files'])}."
    else:
        text = "Nothing to do: no new stream files, no pending dates, none to recompute."
    if of_run["left_lying"]:
        text += f"\nLeft lying, since no run takes files of such names or folders: {names(of_run['left_lying'])}."
    return text


def names(keys: Sequence[str]) -> str:
    """Return the names of landed files without the landing prefix; if there are many, the first ones."""
    shown = [key.removeprefix(f"{layout.ROOT}/").removeprefix("user_streams/") for key in keys[:NAMES_SHOWN]]
    return ", ".join([*shown, *(["…"] if len(keys) > NAMES_SHOWN else [])])


def counts(sandbox: Sandbox, record: Mapping[str, Any], of_run: Mapping[str, Any]) -> Table:
    """Return a table of the run's counts of rows and files."""
    batch = record["batch_id"]
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right", style="bold")
    table.add_column(style="dim")
    dates = record["dates"]
    loaded = Bucket(BUCKET, sandbox.aws.s3).read_json(layout.BatchFolder(batch).loaded_record) or {}
    table.add_row("rows read", number(of_run["events_landed"]), f"{len(record['files'])} files")
    table.add_row("events accepted", number(of_run["accepted"]), accepted_by_date(of_run["events_by_date"]))
    if of_run["late_events"]:
        table.add_row("of them late", number(of_run["late_events"]), "their dates had events of earlier runs")
    table.add_row("duplicate", number(of_run["duplicates"]))
    table.add_row("rejected", number(sum(of_run["rejected"].values())), rejections(of_run, record["max_reject_rate"]))
    table.add_row("dates computed", number(len(dates)), f"{dates[0]} to {dates[-1]}" if dates else "")
    for mart in MARTS:
        table.add_row("rows merged", number(merged_rows(sandbox, mart, batch)), mart)
    table.add_row("files archived", number(archived_files(sandbox.aws.s3, batch)))
    for title, keys in (("files refused", of_run["refused_files"]), ("files left lying", of_run["left_lying"])):
        if keys:
            table.add_row(title, number(len(keys)), names(keys))
    if loaded.get("covered"):
        table.add_row("earlier batches made good", number(len(loaded["covered"])), ", ".join(loaded["covered"]))
    return table


def accepted_by_date(events: Mapping[str, int]) -> str:
    """Return the number of events of each date, newest first; if there are many dates, the first ones."""
    newest = sorted(events.items(), reverse=True)
    shown = [f"{date} {number(count)}" for date, count in newest[:DATES_SHOWN]]
    return ", ".join([*shown, *(["…"] if len(newest) > DATES_SHOWN else [])])


def rejections(of_run: Mapping[str, Any], max_reject_rate: float) -> str:
    """Return the share of rejected rows, the share that the run allows, and the reasons."""
    rejected = sum(of_run["rejected"].values())
    if not rejected:
        return ""
    share = rejected / of_run["events_landed"]
    return f"{share:.2%} of {max_reject_rate:.0%} allowed: {reasons(of_run['rejected'])}"


def reasons(rejected: Mapping[str, int]) -> str:
    """Return the reasons for which rows were rejected, the most frequent first."""
    ordered = sorted(rejected.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{reason} {number(count)}" for reason, count in ordered)


def merged_rows(sandbox: Sandbox, mart: str, batch: str) -> int:
    """Return the number of the mart's rows that come from the batch."""
    sql = f"select count(*) as rows_merged from {mart} where batch_id = %s"  # noqa: S608 - names of our own
    rows: int = warehouse_client.select(sandbox.home, sandbox.ports, sql, [batch])[0]["rows_merged"]
    return rows


def archived_files(s3: "S3Client", batch: str) -> int:
    """Return the number of the batch's stream files in the archive."""
    return sum(1 for _ in Bucket(BUCKET, s3).objects(f"{layout.BatchFolder(batch).archive}/"))


def steps(tasks: Iterable[TaskState]) -> list[Step]:
    """Return the steps of the run that were executed, in order."""
    ran = [task for task in tasks if task.started and task.ended and task.state in {"success", "failed"}]
    if not ran:
        return []
    origin = min(task.started for task in ran if task.started)
    found = []
    for name, parts in STEPS:
        own = [task for task in ran if any(part in task.task_id for part in parts)]
        if own:
            start = min((task.started - origin).total_seconds() for task in own if task.started)
            end = max((task.ended - origin).total_seconds() for task in own if task.ended)
            found.append(Step(name, start, end))
    return found


def timeline(taken: Sequence[Step]) -> Table:
    """Return a table of the steps' durations, and of their place in the run."""
    table = Table(box=box.SIMPLE_HEAD, title="Steps", title_justify="left", title_style="bold", pad_edge=False)
    table.add_column("step")
    table.add_column("seconds", justify="right")
    table.add_column(f"of {max((step.end for step in taken), default=0):.0f} s", no_wrap=True)
    whole = max((step.end for step in taken), default=1.0) or 1.0
    for step in taken:
        left = round(step.start / whole * BAR_WIDTH)
        width = max(1, round(step.seconds / whole * BAR_WIDTH))
        table.add_row(step.name, f"{step.seconds:.1f}", Text(" " * left + "━" * width, "cyan"))
    return table


def results(sandbox: Sandbox, record: Mapping[str, Any]) -> Iterable[RenderableType]:
    """Yield the first rows of both tables on the batch's main date, and a chart of the date's hours."""
    date = main_date(record)
    if date is None:
        return
    hours = select_date(sandbox, "hourly_kpis", date, "listen_hour")
    genres = select_date(sandbox, "genre_level_kpis", date, "listen_count desc, track_genre")
    yield first_rows(f"genre_level_kpis on {date}", genres, GENRE_COLUMNS)
    yield first_rows(f"hourly_kpis on {date}", hours, HOUR_COLUMNS)
    if hours:
        plays = {row["listen_hour"]: row["listen_count"] for row in hours}
        yield Text(f"Plays per hour  {sparkline([plays.get(hour, 0) for hour in range(24)])}  0 to 23 h UTC\n")


GENRE_COLUMNS = {
    "track_genre": "genre",
    "listen_count": "plays",
    "unique_listeners": "listeners",
    "popularity_index": "popularity",
    "average_duration": "avg. seconds",
    "most_popular_track_name": "most popular track",
}
HOUR_COLUMNS = {
    "listen_hour": "hour",
    "listen_count": "plays",
    "unique_listeners": "listeners",
    "listens_per_listener": "per listener",
    "top_artist": "top artist",
    "diversity_index": "diversity",
    "most_engaged_age_group": "age group",
}


def main_date(record: Mapping[str, Any]) -> str | None:
    """Return the date of most of the batch's events; if it brought none, the last date computed."""
    accepted: Mapping[str, int] = record["accepted_by_date"]
    if accepted:
        return max(accepted, key=lambda date: (accepted[date], date))
    return record["dates"][-1] if record["dates"] else None


def select_date(sandbox: Sandbox, mart: str, date: str, order: str) -> list[dict[str, Any]]:
    """Return a mart's rows of a date."""
    sql = f"select * from {mart} where listen_date = %s order by {order}"  # noqa: S608 - names of our own
    return warehouse_client.select(sandbox.home, sandbox.ports, sql, [date])


def first_rows(title: str, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> Table:
    """Return a table of the first rows, with headings that fit a terminal."""
    shown = rows[:FIRST_ROWS]
    title += f": {len(shown)} of {len(rows)} rows"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for name, heading in columns.items():
        text = not rows or isinstance(rows[0][name], str)
        table.add_column(heading, justify="left" if text else "right", no_wrap=True, overflow="ellipsis")
    for row in shown:
        table.add_row(*(cell(row[name]) for name in columns))
    return table


def cell(value: Any) -> str:
    """Format a value for people."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"
    return number(value) if isinstance(value, int) else str(value)


def number(value: int) -> str:
    """Format a number with separators between thousands."""
    return f"{value:,}"


def sparkline(values: Sequence[int]) -> str:
    """Return a bar chart of one line."""
    highest = max(values) or 1
    return "".join(BLOCKS[round(value / highest * (len(BLOCKS) - 1))] for value in values)


def show_places(console: Console, sandbox: Sandbox, run: FinishedRun, batch: str) -> None:
    """Print links to further results."""
    folder = layout.BatchFolder(batch)
    s3, ports = sandbox.aws.s3, sandbox.ports
    places: dict[str, str] = {}
    results = (entry.key for entry in Bucket(BUCKET, s3).objects(f"{folder.validation}/"))
    if pages := [key for key in results if key.endswith("index.html")]:
        places["validation pages"] = f"{ports.aws_endpoint}/{BUCKET}/{quote(min(pages, key=len))}"
    if quarantine.has_left(Bucket(BUCKET, s3), batch):
        places["what was not taken"] = quarantine.command(batch)
    places |= {
        "Airflow": f"{ports.airflow_url}/dags/{DAG_ID}/runs/{quote(run.run_id)}  (`make airflow` prints the login)",
        "logs of tasks": str(task_logs(sandbox.home) / f"dag_id={DAG_ID}" / f"run_id={run.run_id}"),
        "logs of Glue runs": str(sandbox.home.aws / "glue-runs"),
    }
    for name, page in {"dbt docs": layout.DBT_DOCS_PAGE, "page of charts": layout.KPI_REPORT_PAGE}.items():
        if any(True for _ in Bucket(BUCKET, s3).objects(page)):
            places[name] = f"{ports.aws_endpoint}/{BUCKET}/{page}"
    if "dbt docs" in places:  # a run was complete once, so the tables exist
        places["queries"] = 'make query SQL="select * from hourly_kpis order by listen_date, listen_hour"'
    places["the sandbox"] = footprint(*sandbox.processes.footprint(), minutes_until_stop())
    for name, place in places.items():
        console.print(f"  [dim]{name:<18}[/]  {place}", soft_wrap=True)


def footprint(processes: int, memory: int, idle_minutes: float) -> str:
    """Describe the processes that stay after the command, how long they stay, and the command that stops them."""
    stays = f"{processes} processes with {memory / 1024**3:.1f} GB stay for the next command"
    if not idle_minutes:
        return f"{stays}; `make stop` ends them"
    return f"{stays}, until {idle_minutes:g} minutes without use are over; `make stop` ends them now"
