"""The COPY statement: what may stand in it, and what it means."""

import re
from dataclasses import dataclass
from typing import Literal

from sandbox.redshift.errors import NOT_SUPPORTED, SYNTAX_ERROR, Refused
from sandbox.redshift.sql_text import NAME, QUALIFIED_NAME, SqlText

_COPY = re.compile(
    rf"copy\s+(?P<table>{QUALIFIED_NAME})\s*(?:\((?P<columns>[^)]*)\))?\s+from\s+(?P<source>{NAME})(?P<options>.*)$",
    re.IGNORECASE | re.DOTALL,
)
_TOKEN = re.compile(rf"{NAME}|\S")
_ROLE = re.compile(r"default|arn:aws[\w-]*:iam::\d{12}:role/\S+")
_NOT_FOR_PARQUET = ("ignoreheader", "timeformat", "dateformat", "region", "compupdate")
_SWITCHES = ("on", "off", "true", "false")


@dataclass(frozen=True)
class CopyCommand:
    """`COPY table (columns) FROM 's3://…' …`; `table` is SQL text, without `columns` all are meant."""

    table: str
    columns: tuple[str, ...]
    source: str
    format: Literal["parquet", "csv"]
    manifest: bool
    header_lines: int
    any_timestamp: bool
    any_date: bool


def parse_copy(text: SqlText) -> CopyCommand:
    """Reads a COPY from S3.

    Raises:
        Refused: it is another kind of COPY, incomplete, or has an option that the sandbox does not know.
    """
    found = _COPY.match(text.code)
    if not found or not (source := _unquoted(text, found["source"])).startswith("s3://"):
        raise Refused(f"only COPY … FROM 's3://…' is known here, not: {text.restore(text.code)[:200]}", NOT_SUPPORTED)
    options = _options(text, found["options"])
    role = options.get("iam_role")
    if role is None:
        raise Refused("COPY needs credentials: IAM_ROLE 'arn:aws:iam::…:role/…', or IAM_ROLE default", SYNTAX_ERROR)
    if not _ROLE.fullmatch(role):
        raise Refused(f"COPY's IAM_ROLE is no role's ARN: {role}", SYNTAX_ERROR)
    if "format" not in options:
        raise Refused("the sandbox's COPY loads FORMAT AS PARQUET and FORMAT AS CSV only", NOT_SUPPORTED)
    if options["format"] == "parquet":
        for name in _NOT_FOR_PARQUET:
            if name in options:
                raise Refused(f"{name.upper()} argument is not supported for PARQUET based COPY", NOT_SUPPORTED)
    columns = found["columns"].split(",") if found["columns"] else []
    return CopyCommand(
        table=text.restore(found["table"]),
        columns=tuple(_unquoted(text, column.strip()) for column in columns),
        source=source,
        format="parquet" if options["format"] == "parquet" else "csv",
        manifest="manifest" in options,
        header_lines=int(options.get("ignoreheader", "0")),
        any_timestamp="timeformat" in options,
        any_date="dateformat" in options,
    )


def _options(text: SqlText, code: str) -> dict[str, str]:
    """Every option by name; those without an argument have the value ''."""
    tokens = [_unquoted(text, token) for token in _TOKEN.findall(code)]
    options: dict[str, str] = {}

    def argument(option: str, allowed: str) -> str:
        if tokens and tokens[0].lower() == "as":
            tokens.pop(0)
        if not tokens or not re.fullmatch(allowed, tokens[0], re.IGNORECASE):
            raise Refused(f"COPY's {option.upper()} {tokens[0] if tokens else ''} is not known here", NOT_SUPPORTED)
        return tokens.pop(0)

    while tokens:
        match option := tokens.pop(0).lower():
            case "iam_role":
                options[option] = argument(option, r"\S+")
            case "format":
                options[option] = argument(option, "csv|parquet").lower()
            case "csv" | "parquet":
                options["format"] = option
            case "manifest":
                options[option] = ""
            case "ignoreheader":
                options[option] = argument(option, r"\d+")
            case "timeformat" | "dateformat":
                options[option] = argument(option, "auto")
            case "region":
                options[option] = argument(option, r"[a-z]{2}(?:-[a-z]+)+-\d")
            case "compupdate" | "statupdate":
                options[option] = (
                    argument(option, "on|off|true|false") if tokens and tokens[0].lower() in _SWITCHES else ""
                )
            case _:
                raise Refused(f"COPY's option {option.upper()} is not known here", NOT_SUPPORTED)
    return options


def _unquoted(text: SqlText, token: str) -> str:
    """The meaning of a literal or name; names without quotes are lower case, other words stay as they are."""
    restored = text.restore(token)
    if restored[:1] in ("'", '"'):
        quote = restored[0]
        return restored[1:-1].replace(quote * 2, quote)
    return restored
