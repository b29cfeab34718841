"""What a day asks of S3 does not grow with what the days before it have left."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3

from contract import layout
from contract.bucket import in_parallel
from tests.pipeline import Pipeline

TODAY, TOMORROW = "20240626T000000Z-00000001", "20240627T000000Z-00000002"
OLD_BATCHES, FILES_OF_EACH = 20, 9
KEYS_OF_A_LISTING = 20
NAMES_OF_A_BATCH = 6


@contextmanager
def requests(lake: Pipeline) -> Iterator[Counter[str]]:
    """Count the requests of all clients, and let a listing hold few keys, so that few objects need several."""
    counts = Counter[str]()

    def count(params: dict[str, Any], model: Any, **_: object) -> None:
        counts[model.name] += 1
        if model.name == "ListObjectsV2":
            params["MaxKeys"] = KEYS_OF_A_LISTING

    assert boto3.DEFAULT_SESSION is not None
    emitters = (lake.s3.meta.events, boto3.DEFAULT_SESSION.events)
    for events in emitters:
        events.register("provide-client-params.s3", count)
    try:
        yield counts
    finally:
        for events in emitters:
            events.unregister("provide-client-params.s3", count)


def run_a_day(lake: Pipeline, batch_id: str, day: str) -> Counter[str]:
    lake.land(f"{day}.csv", f"user_id,track_id,listen_time\nu1,t1,{day} 10:00:00\n".encode())
    with requests(lake) as counts:
        lake.ingest(batch_id)
        record = lake.curate(batch_id)
        lake.compute_all(batch_id)
    assert (record["rows_accepted"], record["dates"], record["covers"]) == (1, [day], [])
    lake.bucket.write_json(layout.BatchFolder(batch_id).loaded_record, {})
    lake.s3.delete_object(Bucket=lake.bucket.name, Key=f"{layout.USER_STREAMS}/{day}.csv")
    return counts


def leave_old_batches(lake: Pipeline) -> None:
    keys = []
    for number in range(OLD_BATCHES):
        batch_id, date = f"202401{number + 1:02d}T000000Z-{number:08x}", f"2024-01-{number + 1:02d}"
        folder = layout.BatchFolder(batch_id)
        keys += [folder.manifest, folder.curation_record, folder.loaded_record, folder.run_record]
        keys += [f"{folder.pins}/{file:05d}-a.csv" for file in range(FILES_OF_EACH)]
        keys += [f"{folder.validation}/user_streams/{file}.html" for file in range(FILES_OF_EACH)]
        keys += [f"{layout.CURATED}/listen_date={date}/batch_id={batch_id}/attempt=jr/part-0.parquet"]
    in_parallel(lambda key: lake.put(key, b"{}"), keys)


def test_old_batches_cost_a_day_nothing_but_their_names_in_two_listings(lake: Pipeline) -> None:
    first = run_a_day(lake, TODAY, "2024-06-25")
    leave_old_batches(lake)
    second = run_a_day(lake, TOMORROW, "2024-06-26")

    pages = (OLD_BATCHES + 1) * NAMES_OF_A_BATCH // KEYS_OF_A_LISTING + 1
    assert second - first == {"ListObjectsV2": second["ListObjectsV2"] - first["ListObjectsV2"]}
    assert second["ListObjectsV2"] - first["ListObjectsV2"] <= 2 * pages < 2 * FILES_OF_EACH
