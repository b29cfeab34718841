"""The Spark session that every job runs in."""

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


def spark_session(job_name: str) -> SparkSession:
    """Return the session of this process, made or adjusted to `SETTINGS`."""
    builder = SparkSession.builder.appName(job_name)
    for key, value in SETTINGS.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()
