"""The page of charts shows the runs that have left a record, the newest first."""

from music_streams.kpi_report import RUNS_SHOWN, last_runs

from contract.bucket import Bucket
from contract.layout import BatchFolder
from tests.integration.dags.conftest import Lake


def test_the_newest_runs_with_a_record_are_shown(lake: Lake) -> None:
    bucket = Bucket(lake.bucket, lake.s3)
    assert last_runs(bucket) == []
    batches = [f"202406{day:02}T000000Z-{99 - day:08x}" for day in range(1, 16)]
    for batch_id in batches:
        if batch_id != batches[-2]:  # a run of a version without records, or one that has not ended
            bucket.write_json(BatchFolder(batch_id).run_record, {"batch_id": batch_id})
        bucket.write_json(BatchFolder(batch_id).manifest, {})

    shown = [run["batch_id"] for run in last_runs(bucket)]
    assert shown == [batch_id for batch_id in batches[::-1] if batch_id != batches[-2]][: RUNS_SHOWN - 1]
