"""A small Spark job that has Spark do what the sandbox's jobs have it do, for `spark_classes`."""

from collections.abc import Iterator
from pathlib import Path

from pyspark import SparkContext


def to_records(task: int) -> Iterator[tuple[str, bytes]]:
    """Two records for each task."""
    yield "a", bytes([task])
    yield "b", bytes([task])


def main() -> None:
    """Share a file, turn tasks into records, bring them together by key, and hand them to the driver."""
    with SparkContext(appName="typical") as spark:
        spark.addFile(str(Path(__file__)))
        spark.parallelize([0, 1, 2], 3).flatMap(to_records).partitionBy(2).mapPartitions(list).collect()


if __name__ == "__main__":
    main()
