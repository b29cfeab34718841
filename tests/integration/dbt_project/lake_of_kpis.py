"""Raw KPIs as the Glue jobs leave them in the lake: Parquet parts and the COPY manifest of a batch."""

import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from contract import layout
from contract.kpi_tables import KPI_TABLES, KpiTable
from glue_jobs.compute_kpis import with_audit_columns
from glue_jobs.kpis import columns_of

Row = dict[str, Any]


def written_columns(table: KpiTable) -> pa.Schema:
    """The columns that the Glue job of a KPI table writes."""
    rows = columns_of(table).empty_table()
    schema: pa.Schema = with_audit_columns(rows, batch_id="", computed_at=datetime.min).schema  # noqa: DTZ901
    return schema


SCHEMAS = {table.output: written_columns(table) for table in KPI_TABLES}


@dataclass(frozen=True)
class Batch:
    """One batch's identity: its id and when its KPIs were computed."""

    batch_id: str
    computed_at: datetime


def genre_level_kpis(batch: Batch, plays: Mapping[date, Mapping[str, int]]) -> list[Row]:
    """Plausible KPIs for the given plays per date and genre."""
    return [
        {
            "listen_date": listen_date,
            "track_genre": genre,
            "listen_count": count,
            "unique_listeners": 1,
            "popularity_index": count / sum(genres.values()),
            "average_duration": None if genre == "unknown" else 187.5,
            "most_popular_track_id": f"track-of-{genre}",
            "most_popular_track_name": None if genre == "unknown" else 'Día, "night"\nand | after',
            "batch_id": batch.batch_id,
            "computed_at": batch.computed_at,
        }
        for listen_date, genres in plays.items()
        for genre, count in genres.items()
    ]


def hourly_kpis(batch: Batch, plays: Mapping[date, Mapping[int, int]]) -> list[Row]:
    """Plausible KPIs for the given plays per date and hour."""
    return [
        {
            "listen_date": listen_date,
            "listen_hour": hour,
            "listen_count": count,
            "unique_listeners": 1,
            "listens_per_listener": float(count),
            "top_artist": "Sigur Rós",
            "top_artist_listen_count": count,
            "diversity_index": 1 / count,
            "most_engaged_age_group": "18-25",
            "batch_id": batch.batch_id,
            "computed_at": batch.computed_at,
        }
        for listen_date, hours in plays.items()
        for hour, count in hours.items()
    ]


class LakeOfKpis:
    """The output prefixes of the lake's bucket."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self.s3 = s3
        self.bucket = bucket
        self._written: set[str] = set()

    def write(self, prefix: str, batch: Batch, rows: Sequence[Row]) -> None:
        """Write a batch's KPIs below `prefix`, in two parts; a row keeps the audit columns that it has already."""
        folder = f"{prefix}/batch_id={batch.batch_id}"
        audited = [audit | row for audit, row in zip(_audit_columns(rows), rows, strict=True)]
        entries = [self._write_part(prefix, folder, part, audited[part::2]) for part in range(2)]
        self.put(f"{folder}/{layout.MANIFEST}", json.dumps({"entries": entries}).encode())

    def put(self, key: str, body: bytes) -> None:
        self._written.add(key)
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def delete(self, key: str) -> None:
        self.s3.delete_object(Bucket=self.bucket, Key=key)

    def refuse_unless_empty(self) -> None:
        """The batches of the tests must meet no others, least of all a pipeline's."""
        for prefix in SCHEMAS:
            if self.s3.list_objects_v2(Bucket=self.bucket, Prefix=f"{prefix}/", MaxKeys=1)["KeyCount"]:
                raise RuntimeError(
                    f"s3://{self.bucket}/{prefix}/ holds KPIs already: name a bucket that only these tests use."
                    " If a killed run of theirs has left them, delete them."
                )

    def delete_all_written(self) -> None:
        for key in self._written:
            self.delete(key)

    def _write_part(self, prefix: str, folder: str, part: int, rows: Sequence[Row]) -> dict[str, Any]:
        key = f"{folder}/attempt=jr_1/part-{part:05}.parquet"
        parquet = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(list(rows), schema=SCHEMAS[prefix]), parquet)
        self.put(key, parquet.getvalue())
        return {
            "url": f"s3://{self.bucket}/{key}",
            "mandatory": True,
            "meta": {"content_length": len(parquet.getvalue())},
        }


def _audit_columns(rows: Sequence[Row]) -> list[Row]:
    rows_of = Counter(row["listen_date"] for row in rows)
    plays_of = Counter[date | None]()
    for row in rows:
        plays_of[row["listen_date"]] += row["listen_count"] or 0
    return [
        {
            "rows_of_date": rows_of[row["listen_date"]],
            "plays_of_date": plays_of[row["listen_date"]],
            "dates_of_batch": len(rows_of),
        }
        for row in rows
    ]
