"""Run the DAG's first task in a process of its own: `python -m benchmarks.first_task BUCKET BATCH_ID`."""

import sys

import boto3
from music_streams.ingestion import ingest_batch

from contract.bucket import Bucket


def main(bucket: str, batch_id: str) -> None:
    """Pin and validate the landed files as a batch."""
    ingest_batch(Bucket(bucket, boto3.client("s3")), batch_id, on_invalid_stream_file="fail", recompute=None)


if __name__ == "__main__":
    main(*sys.argv[1:])
