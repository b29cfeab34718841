"""SQL with its literals, quoted names and comments out of the way, so that what is left can be searched and edited."""

import re
from dataclasses import dataclass

from sandbox.redshift.errors import SYNTAX_ERROR, RefusedError

NAME = r"(?:\w+|\x01\d+\x02)"
QUALIFIED_NAME = rf"{NAME}(?:\s*\.\s*{NAME})*"

_OUT_OF_THE_WAY = re.compile(
    r"""
      (?P<comment> --[^\n]* | /\*.*?\*/ )
    | \b[eE]'(?:[^'\\]|\\.|'')*'
    | '(?:[^']|'')*'
    | "(?:[^"]|"")*"
    | (?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag)
    """,
    re.DOTALL | re.VERBOSE,
)
_PLACEHOLDER = re.compile("\x01(\\d+)\x02")


@dataclass(frozen=True)
class SqlText:
    """One statement: `code` has a placeholder for each literal and quoted name, and a blank for each comment."""

    code: str
    masked: tuple[str, ...]

    def restore(self, code: str) -> str:
        """Puts literals and quoted names back into `code`, which may be an edited part of this text's code."""
        return _PLACEHOLDER.sub(lambda placeholder: self.masked[int(placeholder[1])], code)


def mask(sql: str) -> SqlText:
    """Masks one statement; a closing semicolon is dropped.

    Raises:
        RefusedError: there are several statements.
    """
    statements = mask_all(sql)
    if len(statements) > 1:
        raise RefusedError("cannot insert multiple commands into a prepared statement", SYNTAX_ERROR)
    return statements[0] if statements else SqlText("", ())


def mask_all(sql: str) -> list[SqlText]:
    """Masks statements that semicolons part.

    Raises:
        RefusedError: there are characters that the placeholders are made of.
    """
    masked: list[str] = []

    def out_of_the_way(found: re.Match[str]) -> str:
        if found["comment"]:
            return " "
        # Redshift folds quoted names to lower case, too: their ASCII letters, that is.
        masked.append(found[0].encode().lower().decode() if found[0][0] == '"' else found[0])
        return f"\x01{len(masked) - 1}\x02"

    if re.search("[\x01\x02]", _OUT_OF_THE_WAY.sub("", sql)):
        raise RefusedError("syntax error: a control character outside quotes", SYNTAX_ERROR)
    code = _OUT_OF_THE_WAY.sub(out_of_the_way, sql)
    return [SqlText(statement.strip(), tuple(masked)) for statement in code.split(";") if statement.strip()]


def literal(text: str) -> str:
    """`text` as a string literal."""
    return "'" + text.replace("'", "''") + "'"
