import csv
import io
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expectations.records import MAX_LINE_LENGTH, CsvFile, EmptyFileError, UnreadableFileError
from tests.unit.expectations.landed import Trickle

NEEDED = ("user_id", "track_id", "listen_time")


def rows_of(file: CsvFile) -> Iterator[tuple[int, tuple[str, ...], bool]]:
    """Line number, fields and soundness of each record."""
    for chunk in file.chunks():
        sound = chunk.sound or [True] * len(chunk)
        yield from zip(chunk.line_numbers, zip(*chunk.columns, strict=True), sound, strict=True)


def read(content: bytes, *, unbroken: tuple[str, ...] = (), chunk_bytes: int = 1 << 20) -> CsvFile:
    return CsvFile(io.BytesIO(content), unbroken=unbroken, chunk_bytes=chunk_bytes)


def fields_of(content: bytes, *, chunk_bytes: int = 1 << 20) -> list[tuple[str, ...]]:
    return [fields for _, fields, _ in rows_of(read(content, chunk_bytes=chunk_bytes))]


def test_the_header_stays_as_it_stands_and_its_names_are_trimmed() -> None:
    file = read(b'\xef\xbb\xbf user_id ,"track_id",\tlisten_time\r\n1,a,b\r\n')

    assert file.header == '\ufeff user_id ,"track_id",\tlisten_time'
    assert file.columns == NEEDED


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("at_the_end", [True, False])
def test_any_line_end_ends_a_line(line_end: bytes, at_the_end: bool) -> None:
    content = line_end.join([b"a,b", b"1,2", b"3,4"]) + (line_end if at_the_end else b"")

    for chunk_bytes in range(1, len(content) + 1):
        assert fields_of(content, chunk_bytes=chunk_bytes) == [("1", "2"), ("3", "4")]


def test_blank_lines_are_no_rows_but_keep_their_numbers() -> None:
    file = read(b"a,b\n\n1,2\n  \t \n\n3,4\n\n")

    assert [(line, fields) for line, fields, _ in rows_of(file)] == [(3, ("1", "2")), (6, ("3", "4"))]
    assert file.rows == 2


def test_quoted_fields_hold_commas_quotes_and_line_breaks() -> None:
    content = b'id,name\n1,"Hello, World"\n2,"say ""hi"""\n3,"two\nlines"\r\n4,"three\r\n\r\nlines"\n5,plain\n'

    expected = [("1", "Hello, World"), ("2", 'say "hi"'), ("3", "two\nlines"), ("4", "three\n\nlines"), ("5", "plain")]
    for chunk_bytes in (*range(1, len(content) + 1), 1 << 20):
        file = read(content, chunk_bytes=chunk_bytes)
        assert [fields for _, fields, _ in rows_of(file)] == expected
        assert not file.line_per_record


def test_line_per_record_is_told_by_lines_with_an_odd_number_of_quotes() -> None:
    even, odd = read(b'id,name\n1,"a ""b"" c"\n'), read(b'id,name\n1,12" mix\n')

    assert [fields for _, fields, _ in rows_of(even)] == [("1", 'a "b" c')]
    assert even.line_per_record
    assert [fields for _, fields, _ in rows_of(odd)] == [("1", '12" mix')]
    assert not odd.line_per_record


def test_a_stray_quote_costs_its_own_line_only() -> None:
    rows = b"".join(f"{number},track,time\n".encode() for number in range(200))
    content = b"user_id,track_id,listen_time\n" + rows + b'x,"track,time\n' + rows + b'y,"track,time\n' + rows

    for chunk_bytes in (1, 64, 1000, 1 << 20):
        file = read(content, unbroken=NEEDED, chunk_bytes=chunk_bytes)
        judged = list(rows_of(file))
        assert len(judged) == 602
        assert [line for line, _, sound in judged if not sound] == [202, 403]
        assert file.misquoted.count == 2
        assert file.misquoted.first == [(202, 'x,"track,time'), (403, 'y,"track,time')]
        assert not file.line_per_record


def test_two_stray_quotes_near_each_other_do_not_make_one_record_of_what_lies_between() -> None:
    file = read(b'user_id,track_id,listen_time\n1,"a,b\n2,c,d\n3,e",f\n4,g,h\n', unbroken=NEEDED)

    judged = list(rows_of(file))

    assert [(line, sound) for line, _, sound in judged] == [(2, False), (3, True), (4, True), (5, True)]


def test_the_fields_of_an_extra_column_may_hold_line_breaks() -> None:
    file = read(b'user_id,track_id,listen_time,note\n1,a,b,"two\nlines"\n2,c,d,\n', unbroken=NEEDED)

    assert [fields for _, fields, _ in rows_of(file)] == [("1", "a", "b", "two\nlines"), ("2", "c", "d", "")]


def test_rows_with_too_few_or_too_many_fields_are_told_and_padded_or_cut() -> None:
    file = read(b"a,b,c\n1,2,3\n1,2\n1,2,3,\n,,\n1\n")

    judged = list(rows_of(file))

    assert judged == [
        (2, ("1", "2", "3"), True),
        (3, ("1", "2", ""), False),
        (4, ("1", "2", "3"), False),
        (5, ("", "", ""), True),
        (6, ("1", "", ""), False),
    ]
    assert file.misshapen.first == [(3, "1,2"), (4, "1,2,3,"), (6, "1")]


def test_a_repeated_header_and_nul_characters_are_told() -> None:
    file = read(b"\xef\xbb\xbfa,b\n1,2\na,b\n3,\x004\n")

    assert [(line, sound) for line, _, sound in rows_of(file)] == [(2, True), (3, False), (4, False)]
    assert file.repeated_headers.first == [(3, "a,b")]
    assert file.forbidden.first == [(4, "3,\x004")]


def test_lines_that_are_not_utf8_are_told_with_byte_offset_and_line() -> None:
    content = "a,b\r\n1,é\r\n".encode() + b"2,\xe9\r\n3,x\n4,\xff\xfe\n"

    for chunk_bytes in (1, 5, 1 << 20):
        file = read(content, chunk_bytes=chunk_bytes)
        assert [fields for _, fields, _ in rows_of(file)] == [
            ("1", "é"),
            ("2", "\ufffd"),
            ("3", "x"),
            ("4", "\ufffd\ufffd"),
        ]
        assert file.undecodable.count == 2
        assert file.undecodable.first == [(3, "byte 0xe9 at offset 13"), (5, "byte 0xff at offset 22")]
        assert content[13] == 0xE9
        assert content[22] == 0xFF


@pytest.mark.parametrize("content", [b"", b"\n", b"  \r\n\r\n\t\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n\n"])
def test_a_file_without_text_is_empty(content: bytes) -> None:
    for chunk_bytes in (1, 1 << 20):
        with pytest.raises(EmptyFileError, match="is empty"):
            read(content, chunk_bytes=chunk_bytes)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\x1f\x8b\x08\x00abc", "gzip-compressed"),
        (b"PK\x03\x04abc", "ZIP archive"),
        (b"PAR1abc", "Parquet"),
        ("user_id,track_id\n1,a\n".encode("utf-16"), "UTF-16"),
        ("user_id,track_id\n1,a\n".encode("utf-16-le"), "NUL characters"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", r"byte 0x89 at offset 0 \(line 1\)"),
        ("länge,b\n1,2\n".encode("latin-1"), r"byte 0xe4 at offset 1 \(line 1\)"),
        (b'a,"b\n1,2\n', "has a misplaced quote"),
        (b"\n\na,b\n1,2\n", "begins with a blank line"),
    ],
)
def test_what_is_no_csv_file_is_refused_with_the_reason(content: bytes, why: str) -> None:
    for chunk_bytes in (1, 1 << 20):
        with pytest.raises(UnreadableFileError, match=why):
            read(content, chunk_bytes=chunk_bytes)


@pytest.mark.parametrize("chunk_bytes", [1 << 16, 1 << 25])
def test_a_line_without_end_is_refused_in_bounded_memory(chunk_bytes: int) -> None:
    endless = Trickle(b"a,b\n1,2\n" + b"x" * (6 * MAX_LINE_LENGTH), piece=1 << 16)

    with pytest.raises(UnreadableFileError, match="a line of more than"):
        list(rows_of(CsvFile(endless, chunk_bytes=chunk_bytes)))  # type: ignore[arg-type]


@pytest.mark.parametrize("row", [b"1,2024-06-25 17:43:13\n", b'1,"2024-06-25 17:43:13"\n', b'1,"two\nlines"\n', b"1\n"])
def test_a_large_file_is_never_in_memory_as_a_whole(row: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("expectations.records.CHUNK_LINES", 1000)
    content = b"a,b\n" + row * (2_000_000 // len(row))
    tracemalloc.start()
    try:
        rows = sum(len(chunk) for chunk in read(content, chunk_bytes=2000).chunks())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert rows == 2_000_000 // len(row)
    assert peak < len(content) / 2


def test_a_field_is_as_long_as_its_line() -> None:
    long = "x" * 500_000
    file = read(f'a,b\n1,"{long}"\n2,"{long}\n3,{long}\n4,5\n'.encode())

    assert [(line, sound) for line, _, sound in rows_of(file)] == [(2, True), (3, False), (4, True), (5, True)]


@given(
    st.lists(
        st.lists(st.text(st.sampled_from('ab ,"\n\t;é'), max_size=6), min_size=2, max_size=2), min_size=1, max_size=20
    ),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.integers(1, 40),
)
def test_what_a_csv_writer_writes_comes_back(
    rows: list[list[str]], line_end: str, quoting: int, chunk_bytes: int
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=line_end, quoting=quoting)  # type: ignore[arg-type]
    writer.writerows([["first", "second"], *rows])

    got = fields_of(text.getvalue().encode(), chunk_bytes=chunk_bytes)

    assert got == [tuple(row) for row in rows]


@given(st.binary(max_size=200), st.integers(1, 50))
def test_chunks_never_change_what_is_read(tail: bytes, chunk_bytes: int) -> None:
    content = b"user_id,track_id,listen_time\n1,a,b\n" + tail

    def everything(size: int) -> tuple[object, ...]:
        file = read(content, unbroken=NEEDED, chunk_bytes=size)
        rows = list(rows_of(file))
        kinds = (file.undecodable, file.forbidden, file.misquoted, file.misshapen, file.repeated_headers)
        return rows, file.line_per_record, file.rows, kinds

    assert everything(chunk_bytes) == everything(1 << 20)


@given(st.lists(st.sampled_from(["1,a,b", '1,"a', 'b",c', '"', "", "1,a", 'x"y"z,,', '"p\tq",r,s', " "]), max_size=120))
def test_chunks_never_change_what_is_read_amid_stray_quotes(lines: list[str]) -> None:
    content = "\n".join(["user_id,track_id,listen_time", *lines, "z,z,z"]).encode()

    def everything(size: int) -> tuple[object, ...]:
        file = read(content, unbroken=NEEDED, chunk_bytes=size)
        return list(rows_of(file)), file.line_per_record, file.misquoted, file.misshapen

    assert everything(3) == everything(40) == everything(1 << 20)
    assert everything(3)[0][-1] == (len(lines) + 2, ("z", "z", "z"), True)  # type: ignore[index]
