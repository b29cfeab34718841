"""A small Spark job that uses what the sandbox's jobs use, for `spark_classes`: `python typical_job.py s3://bucket`."""

import sys

from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812  as Spark's own documentation has it


def main(lake: str) -> None:
    spark = SparkSession.builder.appName("typical").getOrCreate()
    rows = [(f"u{number % 7}", f"t{number % 5}", f"2024-06-{1 + number % 3:02} 12:00:00") for number in range(60)]
    columns = ["user_id", "track_id", "listen_time"]
    landed = spark.createDataFrame(rows, ", ".join(f"{column} string" for column in columns))
    landed.coalesce(1).write.mode("overwrite").option("header", value=True).csv(f"{lake}/landed")
    landed.select("track_id").distinct().coalesce(1).write.mode("overwrite").json(f"{lake}/quarantine")

    plays = (
        spark.read.schema("user_id string, track_id string, listen_time string, raw_line string")
        .options(header=True, quote='"', escape='"', columnNameOfCorruptRecord="raw_line", enforceSchema=True)
        .csv(f"{lake}/landed")
        .withColumn("listen_time", F.expr("try_to_timestamp(trim(listen_time), 'yyyy-MM-dd HH:mm:ss')"))
        .withColumn("listen_date", F.to_date("listen_time"))
        .withColumn("source_file", F.input_file_name())
    )
    known = spark.createDataFrame([("u1", "t1")], "user_id string, track_id string")
    curated = plays.dropDuplicates(columns).join(known, ["user_id", "track_id"], "left_anti").cache()
    curated.groupBy("listen_date").count().collect()
    curated.write.mode("overwrite").partitionBy("listen_date").parquet(f"{lake}/curated")

    events = spark.read.parquet(f"{lake}/curated")
    songs = events.select("track_id").distinct().withColumn("artists", F.split(F.lit("a;b"), ";"))
    ranked = Window.partitionBy("listen_date").orderBy(F.desc("plays"), "artist")
    top = (
        events.join(F.broadcast(songs), "track_id", "left")
        .select("listen_date", "user_id", F.explode("artists").alias("artist"))
        .groupBy("listen_date", "artist")
        .agg(F.count("*").alias("plays"), F.countDistinct("user_id").alias("listeners"), F.min(F.struct("user_id")))
        .withColumn("rank", F.row_number().over(ranked))
        .where("rank = 1")
    )
    kpis = top.join(events.groupBy("listen_date").agg(F.avg(F.hour("listen_time")).alias("mean")), "listen_date")
    kpis.coalesce(1).write.mode("overwrite").parquet(f"{lake}/output")
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1])
