"""Take in a batch: decide whether there is one, pin its files, validate the pinned bytes, and say so in its manifest."""

import io
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from music_streams import lake
from music_streams.batches import DateRange, Landed, Pin, list_landed, owed_batches, pin_streams, pin_table
from music_streams.objects import (
    Gone,
    Replaced,
    copy_version,
    create_json,
    delete_version,
    in_parallel,
    read_json,
    write_json,
)

if TYPE_CHECKING:
    from expectations.report import FileReport, ValidationReport
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

OnInvalidStreamFile = Literal["fail", "quarantine"]
Outcome = Literal["compute", "nothing_to_do"]

READ_AHEAD = 1024**2


class DatasetsRefused(Exception):
    """The landed data are not fit to be taken in; trying again with the same data changes nothing."""
