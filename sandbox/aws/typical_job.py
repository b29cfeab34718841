"""A small Spark job that has Spark do what the sandbox's jobs have it do, for `spark_classes`."""

from collections.abc import Iterable, Iterator

import pyarrow as pa
from pyspark.sql import SparkSession

BLOCKS = pa.schema({"key": pa.string(), "block": pa.binary()})


def to_blocks(tasks: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Two blocks for each task."""
    for task in tasks:
        for number in task["task"].to_pylist():
            yield pa.RecordBatch.from_pydict({"key": ["a", "b"], "block": [bytes([number])] * 2}, BLOCKS)


def to_result(blocks: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The blocks as they came."""
    yield from blocks


def main() -> None:
    """Tasks to blocks, blocks by key, blocks to a result, and that to the driver."""
    spark = SparkSession.builder.appName("typical").getOrCreate()
    schema = "key string, block binary"
    tasks = spark.createDataFrame(pa.table({"task": [0, 1, 2]})).repartition(3, "task")
    blocks = tasks.mapInArrow(to_blocks, schema).repartition(2, "key").sortWithinPartitions("key", "block")
    blocks.mapInArrow(to_result, schema).collect()
    spark.stop()


if __name__ == "__main__":
    main()
