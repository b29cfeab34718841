"""The names and arguments by which other code starts the Glue jobs."""

from contract.kpi_tables import KpiTable

CURATION_JOB = "curate-user-streams"

# Part of the error of a run that would fail again if it were repeated: only a new run takes in corrected files.
FAILS_AGAIN = "Clearing tasks does not help, since the batch keeps the files that it has pinned"


def curation_arguments(bucket: str, batch_id: str, max_reject_rate: float | str) -> dict[str, str]:
    """Return the arguments of the curation job for a batch."""
    return {"--bucket": bucket, "--batch_id": batch_id, "--max_reject_rate": str(max_reject_rate)}


def kpi_arguments(bucket: str, batch_id: str, table: KpiTable) -> dict[str, str]:
    """Return the arguments of a KPI table's job for a batch."""
    return {"--bucket": bucket, "--batch_id": batch_id, "--kpi_table": table.name}
