"""The page of charts: read from the warehouse and the records of runs, drawn, and put into the lake."""

import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contract import layout
from contract.bucket import Bucket
from music_streams.queries import Warehouse
from report.figures import Figures
from report.page import page

log = logging.getLogger(__name__)

RUNS_SHOWN = 10


def publish(bucket: Bucket, profiles: Path, target: str) -> None:
    """Draw the page from the warehouse as it now stands, and put it into the lake.

    Args:
        bucket: the lake.
        profiles: dbt's profiles.yml.
        target: its target by which the warehouse is read.
    """
    warehouse = Warehouse(profiles, target)
    with warehouse.session() as session, session.cursor() as cursor:

        def select(sql: str) -> Iterable[Iterable[Any]]:
            cursor.execute(sql)
            rows: Iterable[Iterable[Any]] = cursor.fetchall()
            return rows

        figures = Figures.read(select, warehouse.reporting)
    content = page(figures, last_runs(bucket), datetime.now(UTC)).encode()
    bucket.write(layout.KPI_REPORT_PAGE, content, "text/html; charset=utf-8")
    log.info("%s shows %d dates in %d bytes", bucket.url(layout.KPI_REPORT_PAGE), len(figures.dates), len(content))


def last_runs(bucket: Bucket) -> list[dict[str, Any]]:
    """The records of the newest batches' runs, newest first; batches of versions that kept none have none."""
    _, folders = bucket.level(f"{layout.BATCHES}/")
    newest = sorted((folder.rstrip("/").rpartition("/")[2] for folder in folders), reverse=True)[:RUNS_SHOWN]
    records = bucket.read_many_json(layout.BatchFolder(batch_id).run_record for batch_id in newest)
    return [record for record in records if record is not None]
