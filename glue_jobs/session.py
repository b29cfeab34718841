"""The Spark session that every job runs in."""

from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession

# What our results depend on stands here; where the session runs (memory, cores) is the environment's business.
SETTINGS = {
    # A row is a block of some megabytes.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "8",
    # Tasks are as many as the driver plans: nothing is won by looking at their sizes again.
    "spark.sql.adaptive.enabled": "false",
}


@contextmanager
def spark_session(job_name: str) -> Iterator[SparkSession]:
    """Open the session of this process with `SETTINGS`, and stop it at the end."""
    builder = SparkSession.builder.appName(job_name)
    for key, value in SETTINGS.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    try:
        yield spark
    finally:
        spark.stop()
