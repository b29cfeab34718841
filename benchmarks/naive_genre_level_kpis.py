"""Contestant: a straightforward Spark script of the genre KPIs. Arguments, as for `spark-submit`: FOLDER OUTPUT."""

import sys

from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812  the customary name


def main(folder: str, output: str) -> None:
    """Read, clean and join the files, and compute each KPI in a pass of its own."""
    spark = SparkSession.builder.appName("genre_level_kpis").getOrCreate()

    songs = spark.read.csv(f"{folder}/songs.csv", header=True, inferSchema=True, multiLine=True, escape='"')
    songs = songs.dropDuplicates(["track_id"]).fillna({"track_genre": "unknown"})
    streams = spark.read.csv(f"{folder}/user_streams", header=True, inferSchema=True)
    streams = (
        streams.withColumn("listen_time", F.try_to_timestamp("listen_time"))
        .dropna(subset=["user_id", "track_id", "listen_time"])
        .filter(F.col("listen_time") <= F.current_timestamp())
        .dropDuplicates(["user_id", "track_id", "listen_time"])
        .withColumn("listen_date", F.to_date("listen_time"))
    )
    plays = streams.join(songs, "track_id", "left").fillna({"track_genre": "unknown"})

    genre = ["listen_date", "track_genre"]
    listen_count = plays.groupBy(*genre).agg(F.count("*").alias("listen_count"))
    unique_listeners = plays.groupBy(*genre).agg(F.countDistinct("user_id").alias("unique_listeners"))
    average_duration = plays.groupBy(*genre).agg((F.avg("duration_ms") / 1000).alias("average_duration"))
    all_plays = plays.groupBy("listen_date").agg(F.count("*").alias("all_plays"))
    track_plays = plays.groupBy(*genre, "track_id", "track_name").agg(F.count("*").alias("plays"))
    by_plays = Window.partitionBy(*genre).orderBy(F.desc("plays"), "track_id")
    most_popular = (
        track_plays.withColumn("place", F.row_number().over(by_plays))
        .filter("place = 1")
        .select(
            *genre,
            F.col("track_id").alias("most_popular_track_id"),
            F.col("track_name").alias("most_popular_track_name"),
        )
    )
    kpis = (
        listen_count.join(unique_listeners, genre)
        .join(average_duration, genre)
        .join(most_popular, genre)
        .join(all_plays, "listen_date")
        .withColumn("popularity_index", F.col("listen_count") / F.col("all_plays"))
        .drop("all_plays")
    )
    kpis.write.mode("overwrite").parquet(output)
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
