"""The two kernels of the KPI jobs: compute partial rows of some events, and combine them into KPI rows.

Each KPI table has a folder with `partial.sql` and `final.sql`, and an entry in `contract.kpi_tables`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from contract.bucket import Bucket
from contract.kpi_tables import KpiTable
from contract.records import CuratedFile
from glue_jobs.events import select_events
from glue_jobs.kernel import connection, literal, text_of
from glue_jobs.stages import RESULT, Record, SharedFile, decode, encode

# The inputs of partial.sql: the columns of the event store, and of the tables that `reference_tables` makes.
_INPUTS = {
    "events": "user_id varchar, track_id varchar, listen_time timestamp",
    "songs": "track_id varchar, track_name varchar, artists varchar, duration_ms decimal(20, 3), track_genre varchar",
    "users": "user_id varchar, user_age smallint",
}


@dataclass(frozen=True)
class EventsOfTask:
    """The events of whole dates, or of part `bucket` of `buckets` of one date, and the files that may hold them."""

    files: Sequence[CuratedFile]
    bucket: int = 0
    buckets: int = 1


@dataclass(frozen=True)
class ReferenceTables:
    """The Parquet files of songs and users, as kernels find them."""

    songs: SharedFile
    users: SharedFile


def compute_partials(
    table: KpiTable, bucket: Bucket, reference: ReferenceTables, task: EventsOfTask
) -> Iterator[Record]:
    """The first kernel: yield the KPI rows of whole dates, or the partial rows of a part, keyed by `combined_by`."""
    with connection() as (database, folder):
        select_events(database, bucket, folder, task.files, name="events", part=(task.bucket, task.buckets))
        database.execute(f"create temp view songs as from read_parquet({literal(reference.songs())})")
        database.execute(f"create temp view users as from read_parquet({literal(reference.users())})")
        database.execute(f"create temp table partials as {_sql(table, 'partial')}")
        if task.buckets == 1:
            yield RESULT, encode(database.sql(_sql(table, "final")).to_arrow_table())
            return
        combined_by = ", ".join(table.combined_by)
        for values in database.execute(f"select distinct {combined_by} from partials order by all").fetchall():  # noqa: S608
            matches = " and ".join(f"{name} = ?" for name in table.combined_by)
            rows = database.sql(f"from partials where {matches}", params=values).to_arrow_table()
            yield "/".join(map(str, values)), encode(rows)


def combine_partials(table: KpiTable, _: str, blocks: Iterator[bytes]) -> Iterator[Record]:
    """The second kernel: compute KPI rows from all partial rows with the same key."""
    with connection() as (database, _folder):
        for number, block in enumerate(blocks):
            database.register("block", decode(block))
            database.execute(
                "insert into partials from block" if number else "create temp table partials as from block"
            )
            database.unregister("block")
        yield RESULT, encode(database.sql(_sql(table, "final")).to_arrow_table())


def columns_of(table: KpiTable) -> pa.Schema:
    """Return the columns of the KPI rows, in order."""
    with connection() as (database, _folder):
        for name, columns in _INPUTS.items():
            database.execute(f"create temp table {name} ({columns})")
        database.execute(f"create temp table partials as {_sql(table, 'partial')}")
        return database.sql(_sql(table, "final")).to_arrow_table().schema


def _sql(table: KpiTable, name: str) -> str:
    return text_of(f"kpis/{table.name}/{name}.sql")
