"""The facts of files, on bytes that nobody should land."""

import gzip
import re
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.csv_format import MAX_LINE_LENGTH, is_blank, split_records
from contract.datasets import USER_STREAMS
from expectations.report import LandedFile
from expectations.scan import FileFacts, scan
from tests.unit.expectations.landed import Trickle, landed

HEADER = b"user_id,track_id,listen_time\n"
PIECES = (1, 7, 64, 1 << 20)


def facts_of(content: bytes, *, piece: int = 1 << 20, name: str = "user_streams/a.csv") -> FileFacts:
    return scan(landed("user_streams", name, content, piece), USER_STREAMS)


def rows_as_curation_reads_them(content: bytes) -> int:
    lines = re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", content.decode(errors="replace"))
    header = lines[0].rstrip("\r\n").removeprefix("\ufeff").split(",")
    return sum(not is_blank(record) for record in split_records(lines[1:], header, USER_STREAMS.unbroken))


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("at_the_end", [True, False])
def test_any_line_end_ends_a_row(line_end: bytes, at_the_end: bool, piece: int) -> None:
    content = line_end.join([HEADER.strip(), b"1,a,b", b"", b"2,a,b", b" ,\t,", b"3,a,b"]) + line_end * at_the_end
    facts = facts_of(content, piece=piece)
    assert (facts.rows, facts.bytes, facts.line_per_record) == (3, len(content), True)


@given(
    st.lists(
        st.sampled_from(
            [
                "1,a,b",
                '1,"a',
                'b",c',
                '"',
                "",
                "1,a",
                'x"y"z,,',
                '"p\tq",r,s',
                " , ,",
                '1,a,b,"two',
                'lines"',
                "é,\xa0,b",
            ]
        ),
        max_size=120,
    ),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["user_id,track_id,listen_time", "user_id,track_id,listen_time,note"]),
    st.integers(1, 200),
)
def test_rows_are_counted_as_curation_reads_them(lines: list[str], line_end: str, header: str, piece: int) -> None:
    content = line_end.join([header, *lines, "z,z,z"]).encode()
    assert facts_of(content, piece=piece).rows == rows_as_curation_reads_them(content)


@given(st.binary(max_size=300), st.integers(1, 50))
def test_no_bytes_bring_it_down_and_the_pieces_never_change_what_is_found(tail: bytes, piece: int) -> None:
    content = HEADER + tail
    facts = facts_of(content, piece=piece)
    assert facts == facts_of(content)
    assert facts.rows == rows_as_curation_reads_them(content)


@pytest.mark.parametrize("length", [49, 50])
def test_a_record_has_fifty_lines_at_most(length: int) -> None:
    content = b'user_id,track_id,listen_time,note\n1,a,b,"' + b"\n" * length + b'"\n2,a,b,c\n'
    rows = {facts_of(content, piece=piece).rows for piece in PIECES}
    assert rows == {rows_as_curation_reads_them(content)}
    assert (rows == {2}) == (length == 49)


def test_lines_that_are_not_utf8_are_reported_with_byte_offset_and_line() -> None:
    content = HEADER + "1,é,x\r\n".encode() + b"2,\xe9,x\r\n3,x,x\n4,\xff\xfe,x\n"
    for piece in PIECES:
        facts = facts_of(content, piece=piece)
        places = [(f"byte 0xe9 at offset {content.index(0xE9)}", 3), (f"byte 0xff at offset {content.index(0xFF)}", 5)]
        assert (facts.undecodable_lines, facts.examples["undecodable_lines"], facts.line) == (2, places, 3)


@pytest.mark.parametrize("content", [b"", b"\n", b"  \r\n\r\n,,\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n\n"])
def test_a_file_without_text_has_no_header(content: bytes) -> None:
    assert not facts_of(content).header_lines
    assert not facts_of(content).has_rows_to_read


def test_compressed_files_are_read_to_their_end_in_whatever_members() -> None:
    content = HEADER + b"1,a,b\n" * 1000
    members = gzip.compress(content[:1000]) + gzip.compress(content[1000:])
    for name in ("a.csv.gz", "A.CSV.GZ"):
        facts = facts_of(members, piece=100, name=name)
        assert (facts.rows, facts.bytes, facts.compression, facts.damage) == (1000, len(content), "gzip", None)


@pytest.mark.parametrize(
    ("content", "damage"),
    [
        (gzip.compress(HEADER + b"1,a,b\n" * 1000)[:-9], "a gzip file that is cut off"),
        (gzip.compress(HEADER)[:5], "a gzip file that is cut off"),
        (HEADER + b"1,a,b\n", "no gzip file, or a damaged one, though its name ends in .gz"),
        (gzip.compress(HEADER)[:-8] + b"\0" * 8, "no gzip file, or a damaged one, though its name ends in .gz"),
    ],
    ids=["cut off", "its header cut off", "text", "a wrong sum"],  # a gzip file holds the time: no id for every worker
)
def test_damaged_compressed_files_are_reported(content: bytes, damage: str) -> None:
    facts = facts_of(content, name="a.csv.gz")
    assert (facts.damage, facts.has_rows_to_read) == (damage, False)


class Endless(Trickle):
    """Two hundred megabytes without a line end."""

    def __init__(self) -> None:
        super().__init__(b"", 0)
        self._left = 200

    def read(self, size: int = -1) -> bytes:
        self._left -= 1
        return b"x" * min(size, 1 << 20) if self._left >= 0 else b""


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_a_file_without_a_line_end_is_given_up_in_bounded_memory(name: str) -> None:
    zeros = gzip.compress(b"x" * 200_000_000, compresslevel=1)
    tracemalloc.start()
    try:
        opened = Trickle(zeros, 1 << 20) if name.endswith(".gz") else Endless()
        facts = scan(LandedFile("user_streams", name, lambda: opened), USER_STREAMS)  # type: ignore[arg-type, return-value]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert facts.overlong_line == MAX_LINE_LENGTH + 1
    assert not facts.has_rows_to_read
    assert peak < 60_000_000


def test_a_line_has_a_mebibyte_of_characters_not_of_bytes() -> None:
    for letter, length, rows in (
        ("é", MAX_LINE_LENGTH, 1),
        ("x", MAX_LINE_LENGTH, 1),
        ("x", MAX_LINE_LENGTH + 1, None),
    ):
        facts = facts_of(HEADER + letter.encode() * length + b"\n")
        assert facts.rows == rows


@pytest.mark.parametrize("row", [b"1,a,2024-06-25 17:43:13\n", b'1,a,"x"\n', b'1,a,12" mix\n', b"\r\n"])
def test_a_large_file_is_never_in_memory_as_a_whole(row: bytes) -> None:
    count = 1_500_000 // len(row)
    content = HEADER + row * count
    tracemalloc.start()
    try:
        facts = facts_of(content, piece=20_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert facts.rows == (0 if row == b"\r\n" else count)
    assert peak < 1_000_000 < len(content)
