"""Text as the pipeline reads and stores it."""

from pyspark.sql import Column
from pyspark.sql import functions as F  # noqa: N812 - PySpark's own convention

BYTE_ORDER_MARK = "\ufeff"
BLANKS = r" \t\r\n\f\x0B"


def trimmed(text: Column) -> Column:
    """Return text without the ASCII blanks around it; Spark's own trim() takes off spaces alone."""
    return F.regexp_replace(text, f"^[{BLANKS}]+|[{BLANKS}]+$", "")


def blank_as_null(text: Column) -> Column:
    """Return text as it is, null where it is empty or only blanks."""
    return F.when(~text.rlike(f"^[{BLANKS}]*$"), text)


def fit(text: Column, max_bytes: int) -> Column:
    """Cut text to what a Redshift `varchar(max_bytes)` takes: so many bytes of UTF-8, cut at a character, no NUL."""
    clean = F.translate(text, "\0", "")
    head = F.decode(F.substring(F.encode(clean, "UTF-8"), 1, max_bytes), "UTF-8")
    # Decoding turns a character that was cut in two into U+FFFD.
    return F.when(F.octet_length(clean) <= max_bytes, clean).otherwise(F.regexp_replace(head, "\ufffd+$", ""))
