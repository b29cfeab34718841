"""Publish the page of charts: read the warehouse and the records of runs, draw the page, put it into the lake."""

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
    """Draw the page from the warehouse's current data, and put it into the lake.

    Args:
        bucket: the lake.
        profiles: dbt's profiles.yml.
        target: the target in it by which the function reads the warehouse.
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
    """Return the run records of the newest batches, newest first; batches of versions that wrote none are left out."""
    _, folders = bucket.level(f"{layout.BATCHES}/")
    newest = sorted((folder.rstrip("/").rpartition("/")[2] for folder in folders), reverse=True)[:RUNS_SHOWN]
    records = bucket.read_many_json(layout.BatchFolder(batch_id).run_record for batch_id in newest)
    return [record for record in records if record is not None]
