"""The reasons for which a row of a stream file is rejected, in the order in which they are checked."""

import datetime as dt
import math
from collections.abc import Sequence

from contract.csv_format import BYTE_ORDER_MARK, is_forbidden
from contract.datasets import USER_STREAMS

REPEATED_HEADER = "repeated header"
MISPLACED_QUOTE = "misplaced quote"
FORBIDDEN_CHARACTER = "forbidden character"
WRONG_NUMBER_OF_FIELDS = "wrong number of fields"
NOT_A_TIMESTAMP = "listen_time is not a timestamp"
IN_THE_FUTURE = "listen_time is in the future"

# An event may be later than its batch's time by this much, since producers' clocks may be wrong.
TOLERANCE_OF_CLOCKS = dt.timedelta(days=1)


def missing(column: str) -> str:
    """Return the reject reason of a row without `column`."""
    return f"{column} is missing"


REJECT_REASONS = (
    REPEATED_HEADER,
    MISPLACED_QUOTE,
    FORBIDDEN_CHARACTER,
    WRONG_NUMBER_OF_FIELDS,
    *map(missing, USER_STREAMS.needed),
    NOT_A_TIMESTAMP,
    IN_THE_FUTURE,
)


def fault_of(record: str, fields: Sequence[str], *, is_well_quoted: bool, header: str, width: int) -> str | None:
    """Return the reason for which a record is no row of a file, whatever its fields hold; None if it is a row.

    Args:
        record: The record's text.
        fields: The record's fields, as `csv_format.fields_of` returns them.
        is_well_quoted: What `fields_of` says of the quotes.
        header: The file's first line without a byte order mark.
        width: The number of the file's columns.
    """
    if record.removeprefix(BYTE_ORDER_MARK) == header:
        return REPEATED_HEADER
    if not is_well_quoted:
        return MISPLACED_QUOTE
    if is_forbidden(record):
        return FORBIDDEN_CHARACTER
    return WRONG_NUMBER_OF_FIELDS if len(fields) != width else None


def latest_listen_time(batch_time: dt.datetime) -> dt.datetime:
    """Return the last moment (UTC, without zone) that an event of a batch may have; `batch_time` is aware."""
    return batch_time.astimezone(dt.UTC).replace(tzinfo=None) + TOLERANCE_OF_CLOCKS


def rate_that_allows(rejected: int, read: int) -> float | None:
    """Return the least `max_reject_rate`, in hundredths, that allows the rejected rows; None if no row is accepted."""
    return math.ceil(rejected * 100 / read) / 100 if rejected < read else None
