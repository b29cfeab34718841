"""Parses the COPY statement and its options."""

import re
from dataclasses import dataclass

from sandbox.redshift.errors import NOT_SUPPORTED, SYNTAX_ERROR, RefusedError
from sandbox.redshift.sql_text import LITERAL, NAME, QUALIFIED_NAME, SqlText

_COPY = re.compile(
    rf"copy\s+(?P<table>{QUALIFIED_NAME})\s+from\s+(?P<source>{LITERAL})(?P<options>.*)$",
    re.IGNORECASE | re.DOTALL,
)
_TOKEN = re.compile(rf"{NAME}|{LITERAL}|\S")
# The options, each with a pattern of its value, which may follow AS.
_OPTIONS = {
    "iam_role": r"default|arn:aws[\w-]*:iam::\d{12}:role/\S+",
    "format": "parquet|csv",
    "manifest": "",
    "ignoreheader": r"\d+",
    "timeformat": "auto",
    "dateformat": "auto",
}
_NOT_FOR_PARQUET = ("ignoreheader", "timeformat", "dateformat")


@dataclass(frozen=True)
class CopyCommand:
    """`COPY table FROM 's3://…' …`; `table` is SQL text.

    `automatic_formats` holds `timeformat` and `dateformat` if they are 'auto'; `role` is the ARN of the role that reads
    S3, None for the namespace's default role.
    """

    table: str
    source: str
    parquet: bool
    manifest: bool
    header_lines: int
    automatic_formats: frozenset[str]
    role: str | None


def parse_copy(text: SqlText) -> CopyCommand:
    """Reads a COPY from S3.

    Raises:
        RefusedError: the statement is another kind of COPY, is incomplete, or has an option that the sandbox does not
            know.
    """
    found = _COPY.match(text.code)
    if not found or not _meaning(text, found["source"]).startswith("s3://"):
        raise RefusedError(
            f"only COPY table FROM 's3://…' is known here, not: {text.restore(text.code)[:200]}", NOT_SUPPORTED
        )
    options = _options([_meaning(text, token) for token in _TOKEN.findall(found["options"])])
    if "iam_role" not in options:
        raise RefusedError("COPY needs IAM_ROLE 'arn:aws:iam::…:role/…' or IAM_ROLE default", SYNTAX_ERROR)
    if "format" not in options:
        raise RefusedError("the sandbox's COPY knows FORMAT AS PARQUET and FORMAT AS CSV only", NOT_SUPPORTED)
    parquet = options["format"].lower() == "parquet"
    for name in _NOT_FOR_PARQUET:
        if parquet and name in options:
            raise RefusedError(f"{name.upper()} argument is not supported for PARQUET based COPY", NOT_SUPPORTED)
    return CopyCommand(
        table=text.restore(found["table"]),
        source=_meaning(text, found["source"]),
        parquet=parquet,
        manifest="manifest" in options,
        header_lines=int(options.get("ignoreheader", "0")),
        automatic_formats=frozenset({"timeformat", "dateformat"} & options.keys()),
        role=None if options["iam_role"].lower() == "default" else options["iam_role"],
    )


def _options(words: list[str]) -> dict[str, str]:
    options: dict[str, str] = {}
    while words:
        name = words.pop(0).lower()
        if name not in _OPTIONS:
            raise RefusedError(f"COPY's option {name.upper()} is not known here", NOT_SUPPORTED)
        argument = ""
        if _OPTIONS[name]:
            if words[:1] in (["as"], ["AS"]):
                words.pop(0)
            argument = words.pop(0) if words else ""
        if not re.fullmatch(_OPTIONS[name], argument, re.IGNORECASE):
            raise RefusedError(f"COPY's {name.upper()} cannot be '{argument}' here", NOT_SUPPORTED)
        options[name] = argument
    return options


def _meaning(text: SqlText, token: str) -> str:
    """Returns the value of a literal or a quoted name, or the word itself."""
    word = text.restore(token.strip())
    return word[1:-1].replace(word[0] * 2, word[0]) if word[:1] in ("'", '"') else word
