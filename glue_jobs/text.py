"""Text as the pipeline reads and stores it."""

from pyspark.sql import Column
from pyspark.sql import functions as F  # noqa: N812 - PySpark's own convention

BYTE_ORDER_MARK = "\ufeff"
BLANKS = " \t\r\n\f\v"
FORBIDDEN = "\0\uffff"  # databases refuse the one; Spark's CSV parser takes the other for the end of the text

_NUMBER = r"\A[+-]?(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})(?:[eE][+-]?[0-9]{1,2})?\z"


def trimmed(text: Column) -> Column:
    """Return text without the ASCII blanks around it; Spark's own trim() takes off spaces alone."""
    return F.btrim(text, F.lit(BLANKS))


def blank_as_null(text: Column) -> Column:
    """Return text as it is, null where it is empty or only blanks."""
    return F.when(trimmed(text) != "", text)


def number(text: Column) -> Column:
    """Return text as a decimal, to a thousandth; null unless it is a number in ASCII digits (`5`, `-0.5`, `1.8e5`)."""
    # Java takes the digits of any script, and works for minutes on an exponent of nine digits.
    return F.when(trimmed(text).rlike(_NUMBER), trimmed(text).cast("decimal(38, 3)"))


def fit(text: Column, max_bytes: int) -> Column:
    """Cut text to what a Redshift `varchar(max_bytes)` takes: whole characters, none FORBIDDEN, in so much UTF-8."""
    clean = F.translate(text, FORBIDDEN, "")
    head = F.decode(F.substring(F.encode(clean, "UTF-8"), 1, max_bytes), "UTF-8")
    # Decoding turns a character that was cut in two into U+FFFD.
    return F.when(F.octet_length(clean) <= max_bytes, clean).otherwise(F.regexp_replace(head, "\ufffd+$", ""))
