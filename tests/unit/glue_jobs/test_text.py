"""Text that Redshift takes."""

from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812 - PySpark's own convention

from glue_jobs.text import blank_as_null, fit, number, trimmed


def test_text_is_cut_to_bytes_at_a_character(spark: SparkSession) -> None:
    expected = {
        "short": "short",
        "éééé": "ééé",
        "aéééé": "aéé",
        "曲曲曲": "曲曲",
        "🎵🎵": "🎵",
        "abcde🎵": "abcde",
        "abcdefg": "abcdef",
        "a\0b\uffff": "ab",
        "": "",
    }
    rows = spark.createDataFrame([(text,) for text in expected], "text string")
    found = [row[0] for row in rows.select(fit(F.col("text"), 6)).collect()]
    assert found == list(expected.values())
    assert all(len(text.encode()) <= 6 for text in found)


def test_all_ascii_blanks_are_blank(spark: SparkSession) -> None:
    expected = {
        " \t\r\n\f\vx y \t\r\n\f\v": "x y",
        " \t\r\n\f\v": "",
        "\u00a0x": "\u00a0x",
        "x \u2028": "x \u2028",  # which regular expressions take for the end of a line
        "\u2028": "\u2028",
        None: None,
    }
    rows = spark.createDataFrame([(text,) for text in expected], "text string")
    found = rows.select(trimmed(F.col("text")), blank_as_null(F.col("text"))).collect()
    assert [row[0] for row in found] == list(expected.values())
    assert [row[1] for row in found] == [text if trimmed_text else None for text, trimmed_text in expected.items()]


def test_trimming_takes_no_longer_for_blanks_within(spark: SparkSession) -> None:
    text = "x" + " " * 1_000_000 + "y"  # at a step for each pair of blanks, this takes hours
    (row,) = spark.createDataFrame([(text,)], "text string").select(trimmed(F.col("text"))).collect()
    assert row[0] == text


def test_numbers_are_ascii_and_count_to_a_thousandth(spark: SparkSession) -> None:
    expected = {
        " 5\t": "5.000",
        "-0.5": "-0.500",
        "+05.": "5.000",
        ".5e3": "500.000",
        "1.8E+5": "180000.000",
        "1e-9": "0.000",
        "0.0005": "0.001",
        "9" * 20: f"{'9' * 20}.000",
        "9" * 21: None,
        "1e99": None,
        "1e-999999999": None,
        "": None,
        "1 2": None,
        "1,5": None,
        "1_0": None,
        "0x1": None,
        "NaN": None,
        "Infinity": None,
        "1d": None,
        "٣": None,
        "\uff11": None,
        "1\u2028": None,
    }
    rows = spark.createDataFrame([(text,) for text in expected], "text string")
    found = rows.select(number(F.col("text")).cast("string")).collect()
    assert [row[0] for row in found] == list(expected.values())
