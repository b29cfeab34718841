"""The registry of the KPI tables, over which DAG, jobs, archive, benchmarks, sandbox and tests iterate."""

from dataclasses import dataclass

from contract import layout


@dataclass(frozen=True)
class KpiTable:
    """One KPI table.

    Attributes:
        name: the name of the table in the warehouse, of its dbt models and tags, and of its folder in glue_jobs/kpis.
        glue_job: the Glue job that computes it.
        key: the columns of the grain: no two rows hold the same values in them; the first is the date.
        combined_by: columns of the partial rows. One final row needs all partial rows with the same values in them; a
            date's partial rows are combined in as many pieces as these columns have distinct values.
    """

    name: str
    glue_job: str
    key: tuple[str, ...]
    combined_by: tuple[str, ...] = ("listen_date",)

    @property
    def output(self) -> str:
        """The prefix below which the job writes."""
        return f"{layout.OUTPUT}/{self.glue_job}"

    def copy_manifest(self, batch_id: str) -> str:
        """The manifest that COPY reads, written last by the job."""
        return f"{self.output}/batch_id={batch_id}/manifest.json"


KPI_TABLES = (
    KpiTable(
        "genre_level_kpis",
        glue_job="genre_level_kpis",
        key=("listen_date", "track_genre"),
    ),
    KpiTable(
        "hourly_kpis",
        glue_job="hourly-kpis",
        key=("listen_date", "listen_hour"),
        combined_by=("listen_date", "listen_hour"),
    ),
)


def kpi_table(name: str) -> KpiTable:
    """Return the KPI table of a name.

    Raises:
        LookupError: no table has this name; the message lists the names that exist.
    """
    for table in KPI_TABLES:
        if table.name == name:
            return table
    raise LookupError(f"no KPI table is named {name!r}; there are {', '.join(table.name for table in KPI_TABLES)}")
