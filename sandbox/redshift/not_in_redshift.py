"""The constructs that Redshift does not accept, or that PostgreSQL cannot emulate, from the table beside this file."""

import re
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sandbox.redshift.sql_text import LITERAL, QUALIFIED_NAME

_NESTED = r"\((?:[^()]|\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))*\)"
_PARTS = {"name": QUALIFIED_NAME, "literal": LITERAL, "any": rf"(?:[^()]|{_NESTED})*", "arg": rf"(?:[^(),]|{_NESTED})*"}


@dataclass(frozen=True)
class Construct:
    """One construct; the head of the table explains the fields."""

    says: str
    pattern: str
    source: str
    refused: str
    accepted: str
    definition: bool = False
    only_redshift: bool = False

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        """The compiled pattern, for searching masked SQL."""
        pattern = re.sub(r"\{(name|literal|any|arg)\}", lambda part: _PARTS[part[1]], self.pattern)
        return re.compile(pattern, re.IGNORECASE | re.DOTALL)


CONSTRUCTS = tuple(
    Construct(**construct)
    for construct in tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))["construct"]
)
