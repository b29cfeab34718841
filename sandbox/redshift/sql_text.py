"""Masks the literals, quoted names and comments of SQL, so that the rest can be searched and edited."""

import re
from dataclasses import dataclass

from sandbox.redshift.errors import NOT_SUPPORTED, SYNTAX_ERROR, RefusedError

NAME = r"(?:\w+|\x01\d+\x02)"
LITERAL = r"\x01'\d+\x02"
QUALIFIED_NAME = rf"{NAME}(?:\s*\.\s*{NAME})*"

_OUT_OF_THE_WAY = re.compile(
    r"""
      (?P<comment> --[^\n]* | /\*.*?\*/ )
    | (?:\b[eE])?'(?:[^'\\]|\\.|'')*'
    | "(?:[^"]|"")*"
    | (?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag)
    """,
    re.DOTALL | re.VERBOSE,
)
_PLACEHOLDER = re.compile("\x01'?(\\d+)\x02")
_UNDOCUMENTED_ESCAPE = re.compile(r"(?:[^\\]|\\[^xuU])*\\[xuU]", re.DOTALL)


@dataclass(frozen=True)
class SqlText:
    """One statement: `code` has placeholders for literals and quoted names, and one blank for comments and spaces."""

    code: str
    masked: tuple[str, ...]

    def restore(self, code: str) -> str:
        """Puts literals and quoted names back into `code`, which may be an edited part of this text's code."""
        return _PLACEHOLDER.sub(lambda placeholder: self.masked[int(placeholder[1])], code)


def mask(sql: str) -> SqlText:
    """Masks one statement; a closing semicolon is dropped.

    Raises:
        RefusedError: the text holds several statements.
    """
    statements = mask_all(sql)
    if len(statements) > 1:
        raise RefusedError("cannot insert multiple commands into a prepared statement", SYNTAX_ERROR)
    return statements[0] if statements else SqlText("", ())


def mask_all(sql: str) -> list[SqlText]:
    """Masks statements that are separated by semicolons.

    Raises:
        RefusedError: the text holds characters of which placeholders are made, or escapes of unknown meaning.
    """
    masked: list[str] = []

    def out_of_the_way(found: re.Match[str]) -> str:
        if found["comment"]:
            return " "
        if found[0][0] == '"':  # Redshift folds the ASCII letters of quoted names to lower case, too.
            masked.append(found[0].encode().lower().decode())
            return f"\x01{len(masked) - 1}\x02"
        masked.append(found[0] if found["tag"] else _with_escapes(found[0]))
        return f"\x01'{len(masked) - 1}\x02"

    if re.search("[\x01\x02]", _OUT_OF_THE_WAY.sub("", sql)):
        raise RefusedError("syntax error: a control character outside quotes", SYNTAX_ERROR)
    code = re.sub(r"[ \t\r\n\f\v]+", " ", _OUT_OF_THE_WAY.sub(out_of_the_way, sql))
    return [SqlText(statement.strip(), tuple(masked)) for statement in code.split(";") if statement.strip()]


def _with_escapes(text: str) -> str:
    """Returns a literal for PostgreSQL, where backslashes in ordinary literals are not escapes."""
    if _UNDOCUMENTED_ESCAPE.match(text):
        raise RefusedError(f"what the backslash means in {text} is not documented: write \\\\ for one", NOT_SUPPORTED)
    return f"E{text}" if "\\" in text and text[0] == "'" else text


def closing(code: str, start: int) -> int:
    """Returns the position of the parenthesis that closes the one open at `start`; the end of the code if none does."""
    depth = 1
    for place in range(start, len(code)):
        depth += {"(": 1, ")": -1}.get(code[place], 0)
        if not depth:
            return place
    return len(code)


def around(code: str, place: int) -> tuple[int, str]:
    """Returns the start of the parentheses around a place, and their content, with blanks for inner parentheses."""
    start, depth = place, 0
    while start and depth >= 0:
        start -= 1
        depth += {")": 1, "(": -1}.get(code[start], 0)
    start += depth < 0
    flat, depth = "", 0
    for character in code[start : closing(code, start)]:
        depth -= character == ")"
        flat += " " if depth else character
        depth += character == "("
    return start, flat


def arguments(code: str) -> list[str]:
    """Splits the code at the commas outside of parentheses."""
    found, depth = [""], 0
    for part in re.split(r"([(),])", code):
        depth += {"(": 1, ")": -1}.get(part, 0)
        if part == "," and not depth:
            found.append("")
        else:
            found[-1] += part
    return [argument.strip() for argument in found]


def literal(text: str) -> str:
    """Returns `text` as a string literal."""
    return "'" + text.replace("'", "''") + "'"
