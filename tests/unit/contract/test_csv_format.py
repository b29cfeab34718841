"""One bad line never costs another: where stream files are split into records."""

from contract.csv_format import MAX_LINES_OF_RECORD, split_records

COLUMNS = ("user_id", "track_id", "listen_time", "comment")
NEEDED = ("user_id", "track_id", "listen_time")


def records(text: str) -> list[str]:
    return list(split_records(text.splitlines(keepends=True), COLUMNS, NEEDED))


def test_a_line_is_a_record() -> None:
    assert records("u,t,1,a\r\nu,t,2,b\nu,t,3,c") == ["u,t,1,a", "u,t,2,b", "u,t,3,c"]


def test_a_quoted_comment_may_hold_line_breaks() -> None:
    assert records('u,t,1,"a\r\nb\n\nc ""x"""\nu,t,2,b\n') == ['u,t,1,"a\r\nb\n\nc ""x"""', "u,t,2,b"]


def test_a_stray_quote_costs_only_its_own_line() -> None:
    assert records('u,t,1,"a\nu,t,2,b\nu,t,3,c\n') == ['u,t,1,"a', "u,t,2,b", "u,t,3,c"]


def test_what_rfc_4180_calls_one_field_is_one_field() -> None:
    assert records('u,t,1,"a\nu,t,2,b\nu,t,3,c"\nu,t,4,d\n') == ['u,t,1,"a\nu,t,2,b\nu,t,3,c"', "u,t,4,d"]


def test_a_line_break_in_a_needed_field_is_a_stray_quote() -> None:
    assert records('"u,t,1,a\n"u,t,2,b\nu,t,3,c\n') == ['"u,t,1,a', '"u,t,2,b', "u,t,3,c"]


def test_a_record_with_the_wrong_number_of_fields_is_not_joined() -> None:
    assert records('u,t,"1\n2",a,b\nu,t,3,c\n') == ['u,t,"1', '2",a,b', "u,t,3,c"]


def test_an_open_quote_gives_up_after_some_lines() -> None:
    lines = ['u,t,0,"open'] + [f"u,t,{number},x" for number in range(1, 3 * MAX_LINES_OF_RECORD)]
    assert records("\n".join(lines)) == lines


def test_a_file_full_of_stray_quotes_keeps_every_line() -> None:
    lines = ['u,t,1,"a', 'u"'] * 10_000
    assert records("\n".join(line + ",extra" for line in lines)) == [line + ",extra" for line in lines]
