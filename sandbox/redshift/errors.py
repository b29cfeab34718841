"""The gateway's errors, and PostgreSQL's errors with Redshift's messages."""

SYNTAX_ERROR, NOT_SUPPORTED, BAD_DATA = "42601", "0A000", "XX000"
_NOT_NULL_VIOLATION, _CARDINALITY_VIOLATION = "23502", "21000"
# A function that nobody may call replaces a cast that Redshift lacks; the function's name is the error's text.
_NO_CAST, _CANNOT_COERCE = "permission denied for function cannot cast", "42846"
# PostgreSQL's codes for syntax, columns, types and functions that do not exist; such errors have a position (P).
_NOT_KNOWN = (SYNTAX_ERROR, "42703", "42704", "42883")


class RefusedError(Exception):
    """The gateway refuses a statement, because Redshift would, or because the sandbox does not know it.

    The error is raised again inside the client's own session, so that its transaction is aborted.
    """

    def __init__(self, text: str, sqlstate: str = BAD_DATA) -> None:
        super().__init__(text)
        self.text = text
        self.sqlstate = sqlstate


class WarehouseError(Exception):
    """The warehouse cannot be started, or has stopped by itself."""


def in_redshifts_words(fields: dict[str, str]) -> dict[str, str]:
    """Returns an error's fields, with Redshift's message for the errors that people or dbt read."""
    if fields.get("C") == _NOT_NULL_VIOLATION and "c" in fields:
        return fields | {"M": f"Cannot insert a NULL value into column {fields['c']}"}
    if fields.get("C") == _CARDINALITY_VIOLATION and fields.get("M", "").startswith("MERGE"):
        return fields | {"M": "Found multiple matches to update the same tuple."}
    if fields.get("M", "").startswith(_NO_CAST):
        return fields | {"C": _CANNOT_COERCE, "M": fields["M"].removeprefix("permission denied for function ")}
    if fields.get("C") in _NOT_KNOWN and "P" in fields:
        return fields | {
            "M": f"{fields['M']} (says PostgreSQL; if Redshift takes it, the sandbox does not: docs/redshift.md)"
        }
    return fields
