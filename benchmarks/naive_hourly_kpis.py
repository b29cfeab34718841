"""Contestant: a straightforward Spark script of the hourly KPIs. Arguments, as for `spark-submit`: FOLDER OUTPUT."""

import sys

from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812  the customary name


def main(folder: str, output: str) -> None:
    """Read, clean and join the files, and compute each KPI in a pass of its own."""
    spark = SparkSession.builder.appName("hourly_kpis").getOrCreate()

    songs = spark.read.csv(f"{folder}/songs.csv", header=True, inferSchema=True, multiLine=True, escape='"')
    songs = songs.dropDuplicates(["track_id"])
    users = spark.read.csv(f"{folder}/users.csv", header=True, inferSchema=True, escape='"')
    streams = spark.read.csv(f"{folder}/user_streams", header=True, inferSchema=True)
    streams = (
        streams.withColumn("listen_time", F.try_to_timestamp("listen_time"))
        .dropna(subset=["user_id", "track_id", "listen_time"])
        .filter(F.col("listen_time") <= F.current_timestamp())
        .dropDuplicates(["user_id", "track_id", "listen_time"])
        .withColumn("listen_date", F.to_date("listen_time"))
        .withColumn("listen_hour", F.hour("listen_time"))
    )
    plays = streams.join(songs, "track_id", "left").join(users, "user_id", "left")

    hour = ["listen_date", "listen_hour"]
    listen_count = plays.groupBy(*hour).agg(F.count("*").alias("listen_count"))
    unique_listeners = plays.groupBy(*hour).agg(F.countDistinct("user_id").alias("unique_listeners"))
    tracks = plays.groupBy(*hour).agg(F.countDistinct("track_id").alias("tracks"))

    artist_plays = (
        plays.withColumn("artist", F.explode(F.split("artists", ";")))
        .withColumn("artist", F.trim("artist"))
        .groupBy(*hour, "artist")
        .agg(F.count("*").alias("plays"))
    )
    by_plays = Window.partitionBy(*hour).orderBy(F.desc("plays"), "artist")
    top_artist = (
        artist_plays.withColumn("place", F.row_number().over(by_plays))
        .filter("place = 1")
        .select(*hour, F.col("artist").alias("top_artist"), F.col("plays").alias("top_artist_listen_count"))
    )

    age_group = (
        F.when(F.col("user_age") < 18, "<18")
        .when(F.col("user_age") <= 25, "18-25")
        .when(F.col("user_age") <= 35, "26-35")
        .when(F.col("user_age") <= 45, "36-45")
        .when(F.col("user_age") <= 55, "46-55")
        .when(F.col("user_age") <= 65, "56-65")
        .otherwise("66+")
    )
    age_plays = (
        plays.filter("user_age between 0 and 130")
        .withColumn("age_group", age_group)
        .groupBy(*hour, "age_group")
        .agg(F.count("*").alias("plays"))
    )
    by_age_plays = Window.partitionBy(*hour).orderBy(F.desc("plays"), "age_group")
    most_engaged = (
        age_plays.withColumn("place", F.row_number().over(by_age_plays))
        .filter("place = 1")
        .select(*hour, F.col("age_group").alias("most_engaged_age_group"))
    )

    kpis = (
        listen_count.join(unique_listeners, hour)
        .join(tracks, hour)
        .join(top_artist, hour, "left")
        .join(most_engaged, hour, "left")
        .withColumn("listens_per_listener", F.col("listen_count") / F.col("unique_listeners"))
        .withColumn("diversity_index", F.col("tracks") / F.col("listen_count"))
        .drop("tracks")
    )
    kpis.write.mode("overwrite").parquet(output)
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
