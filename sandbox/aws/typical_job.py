"""A small Spark job that uses the same functions of Spark as the sandbox's jobs, for `spark_classes`."""

from collections.abc import Iterator
from pathlib import Path

from pyspark import SparkContext


def to_records(task: int) -> Iterator[tuple[str, bytes]]:
    """Yields two records for each task."""
    yield "a", bytes([task])
    yield "b", bytes([task])


def main() -> None:
    """Shares a file, turns tasks into records, groups them by key, and collects them in the driver."""
    with SparkContext(appName="typical") as spark:
        spark.addFile(str(Path(__file__)))
        spark.parallelize([0, 1, 2], 3).flatMap(to_records).partitionBy(2).mapPartitions(list).collect()


if __name__ == "__main__":
    main()
