"""The Spark session that every job runs in."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from pyspark.sql import SparkSession

# What our results depend on stands here; where the session runs (S3, memory, cores) is the environment's business.
SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "false",
    "spark.sql.legacy.timeParserPolicy": "CORRECTED",
    # Timestamps that Redshift's COPY reads, also of years before 1900.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    # A row is judged by all its fields, so the CSV parser may not skip the columns that a query does not use.
    "spark.sql.csv.parser.columnPruning.enabled": "false",
    "spark.sql.optimizer.enableCsvExpressionOptimization": "false",
    "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
}


Session = Callable[[str], AbstractContextManager[SparkSession]]
"""What opens a session for the job of a name; tests hand in one that stays warm."""


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
