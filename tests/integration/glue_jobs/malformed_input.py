"""The cases of docs/malformed_input.md, read from its tables."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "malformed_input.md"

ROWS, FILES = "Rows of stream files", "Stream files"
SONG_ROWS, USER_ROWS, REFERENCE_FILES = "Rows of songs.csv", "Rows of users.csv", "Reference files"

_SIMPLE = {"n": b"\n", "r": b"\r", "t": b"\t", "0": b"\0", "\\": b"\\"}
_KINDS = "accepted|duplicate|rejected|no row|refused"


@dataclass(frozen=True)
class Outcome:
    """What becomes of one row, or of a file that is refused.

    Attributes:
        kind: One of accepted, duplicate, rejected, no row, refused.
        reasons: Why a row is rejected, and what else validation warns of; the message about a refused file.
        fields: Those of an accepted event that the case names.
    """

    kind: str
    reasons: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A row of a table of the page.

    Attributes:
        written: The input as the page writes it.
        cells: The cells that follow it.
    """

    name: str
    written: str
    cells: tuple[str, ...]

    def content(self, **placeholders: str) -> bytes:
        """The input, with each placeholder in it replaced."""
        text = self.written
        for name, value in placeholders.items():
            text = text.replace(name, value)
        return unescaped(text)

    @property
    def outcomes(self) -> list[Outcome]:
        """One for each row of the input, in order."""
        return [_outcome(part) for part in re.split(rf"; (?={_KINDS})", self.cells[0])]


def cases(section: str) -> list[Case]:
    """The cases of a section whose tables have the input in the second column."""
    return [Case(name, _code(written), tuple(cells)) for name, written, *cells in rows(section)]


def rows(section: str) -> Iterator[Sequence[str]]:
    """The cells of a section's table, without its head."""
    _, _, text = PAGE.read_text("utf-8").partition(f"\n## {section}\n")
    table = [line for line in text.partition("\n## ")[0].split("\n") if line.startswith("|")]
    return ([cell.strip(" ") for cell in line.split("|")[1:-1]] for line in table[2:])


def code(cell: str, name: str) -> str | None:
    """What a cell says of a name in code, None when it says null."""
    found = re.search(rf"\b{name} (?:`([^`]*)`|null)", cell)
    assert found, (name, cell)
    return None if found[1] is None else unescaped(found[1]).decode()


def unescaped(written: str) -> bytes:
    """The bytes of an input as the page writes it."""
    text, *repeats = re.split(r"\{([^{}]+?)\*(\d+)\}", written)
    content = _bytes(text)
    for repeated, count, rest in zip(repeats[::3], repeats[1::3], repeats[2::3], strict=True):
        content += _bytes(repeated) * int(count) + _bytes(rest)
    return content


def _bytes(text: str) -> bytes:
    return b"".join(map(_piece, re.split(r"(\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|\\.)", text)))


def _piece(text: str) -> bytes:
    if text.startswith("\\x"):
        return bytes.fromhex(text[2:])
    if text.startswith("\\u"):
        return chr(int(text[2:], 16)).encode()
    return _SIMPLE[text[1]] if text.startswith("\\") else text.encode()


def _code(cell: str) -> str:
    if cell == "(nothing)":
        return ""
    assert cell.startswith("`"), cell
    assert cell.endswith("`"), cell
    return cell[1:-1]


def _outcome(text: str) -> Outcome:
    kind, _, details = text.partition(": ")
    assert kind in _KINDS.split("|"), text
    if kind == "rejected":
        return Outcome(kind, reasons=tuple(details.split(", also ")))
    if kind == "refused":
        return Outcome(kind, reasons=(unescaped(_code(details)).decode(),))
    return Outcome(
        kind, fields={name: unescaped(value).decode() for name, value in re.findall(r"(\w+) `([^`]*)`", details)}
    )
