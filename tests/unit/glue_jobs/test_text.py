"""Text that Redshift takes."""

from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812 - PySpark's own convention

from glue_jobs.text import blank_as_null, fit, trimmed


def test_text_is_cut_to_bytes_at_a_character(spark: SparkSession) -> None:
    expected = {
        "short": "short",
        "éééé": "ééé",
        "aéééé": "aéé",
        "曲曲曲": "曲曲",
        "🎵🎵": "🎵",
        "abcde🎵": "abcde",
        "abcdefg": "abcdef",
        "a\0b": "ab",
        "": "",
    }
    rows = spark.createDataFrame([(text,) for text in expected], "text string")
    found = [row[0] for row in rows.select(fit(F.col("text"), 6)).collect()]
    assert found == list(expected.values())
    assert all(len(text.encode()) <= 6 for text in found)


def test_all_ascii_blanks_are_blank(spark: SparkSession) -> None:
    rows = spark.createDataFrame(
        [(" \t\r\n\f\vx y \t\r\n\f\v",), (" \t\r\n\f\v",), ("\u00a0x",), (None,)], "text string"
    )
    found = rows.select(trimmed(F.col("text")), blank_as_null(F.col("text"))).collect()
    assert [row[0] for row in found] == ["x y", "", "\u00a0x", None]
    assert [row[1] is None for row in found] == [False, True, False, True]
