"""The callables of the DAG's Python tasks: other modules do the work, this one translates errors into Airflow's."""

import logging
from pathlib import Path
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from contract.bucket import Bucket
from music_streams.archive import BatchUnfinishedError, finish_batch
from music_streams.batches import DateRange, DatesRefusedError, NamesRefusedError
from music_streams.ingestion import DatasetsRefusedError, OnInvalidStreamFile, ingest_batch, refusal, write_verdict
from music_streams.run_record import write_run_record

log = logging.getLogger(__name__)


def validate_datasets(
    bucket: str,
    batch_id: str,
    *,
    on_invalid_stream_file: OnInvalidStreamFile,
    recompute_from: str,
    recompute_to: str,
    unknown_params: str = "",
) -> dict[str, Any]:
    """Ingest the landed files as a batch; bad data, names and params fail at once, other errors are retried.

    `unknown_params` names the given params that the DAG does not have. They fail the task, because running with the
    defaults is not what the user asked for.
    """
    lake = Bucket(bucket)
    if unknown_params:
        write_verdict(lake, batch_id, passed=False, message=unknown_params)
        raise AirflowFailException(unknown_params)
    try:
        return ingest_batch(
            lake,
            batch_id,
            on_invalid_stream_file=on_invalid_stream_file,
            recompute=DateRange.from_params(recompute_from, recompute_to),
        )
    except (DatasetsRefusedError, DatesRefusedError, NamesRefusedError) as error:
        write_verdict(lake, batch_id, passed=False, message=str(error))
        raise AirflowFailException(str(error)) from error


def check_validation(outcome: str, when_valid: str, otherwise: str) -> str:
    """Choose the next task: the computation, or the end if there is nothing to do or validation has failed."""
    return when_valid if outcome == "compute" else otherwise


def end_dag(bucket: str, batch_id: str, run_id: str, outcome: str) -> None:
    """Record the run; succeed if there is nothing to do, fail with validation's summary if validation failed."""
    write_run_record(Bucket(bucket), batch_id, run_id)
    if outcome == "nothing_to_do":
        log.info("No new stream files, no pending dates, none to recompute: nothing to do")
        return
    reason = refusal(Bucket(bucket), batch_id)
    msg = reason or f"validate_datasets of batch {batch_id} failed before it came to a result: its log says why"
    raise AirflowFailException(msg)


def move_files(bucket: str, batch_id: str, run_id: str) -> dict[str, Any]:
    """Record the batch as loaded, archive its stream files, and record the run."""
    lake = Bucket(bucket)
    try:
        moved = finish_batch(lake, batch_id)
    except BatchUnfinishedError as error:
        raise AirflowFailException(str(error)) from error
    write_run_record(lake, batch_id, run_id)
    return moved


def publish_kpi_report(bucket: str, profiles: str, target: str) -> None:
    """Publish the page of charts from the warehouse's current data."""
    from music_streams.kpi_report import publish  # noqa: PLC0415 - imports Altair

    publish(Bucket(bucket), Path(profiles), target)
