"""The KPI tables: the one registry that DAG, jobs, archive, benchmarks, sandbox and tests iterate over."""

from dataclasses import dataclass

from contract import layout


@dataclass(frozen=True)
class KpiTable:
    """One KPI table.

    Attributes:
        name: of the table in the warehouse, of its dbt models and tags, and of its folder in glue_jobs/kpis.
        glue_job: the Glue job that computes it.
        key: the columns of which no two rows hold the same values; the first is the date.
        combined_by: the columns of the partial rows that one final row needs all of; a date's partial rows are combined
            in as many pieces as these columns have values.
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
    """The KPI table of a name.

    Raises:
        LookupError: there is none; the message lists those that there are.
    """
    for table in KPI_TABLES:
        if table.name == name:
            return table
    raise LookupError(f"no KPI table is named {name!r}; there are {', '.join(table.name for table in KPI_TABLES)}")
