"""The constructs that PostgreSQL takes and Redshift does not, from the table beside this file."""

import re
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sandbox.redshift.sql_text import QUALIFIED_NAME


@dataclass(frozen=True)
class Construct:
    """One of them; the table tells what the fields mean."""

    says: str
    pattern: str
    source: str
    refused: str
    accepted: str
    definition: bool = False

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        """The pattern, ready to search masked SQL."""
        return re.compile(self.pattern.replace("{name}", QUALIFIED_NAME), re.IGNORECASE | re.DOTALL)


CONSTRUCTS = tuple(
    Construct(**construct)
    for construct in tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))["construct"]
)
