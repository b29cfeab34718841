from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expectations.frames import NEVER, Keys, Texts, epoch_seconds


def seconds_of(*texts: str) -> list[int]:
    return list(epoch_seconds(np.array(texts, dtype=object)))


EARLIEST, LATEST = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)  # noqa: DTZ001 - as hypothesis wants them


@given(st.datetimes(EARLIEST, LATEST).map(lambda time: time.replace(microsecond=0)))
def test_every_time_of_the_calendar_is_read_as_python_reads_it(time: datetime) -> None:
    assert seconds_of(f"{time.isoformat(sep=' '):0>19}") == [int(time.replace(tzinfo=UTC).timestamp())]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "listen_time",
        "2024-06-25",
        "2024-06-25T17:43:13",
        "2024-06-25 17:43:13Z",
        "2024-06-25 17:43:13.5",
        "2024-6-25 17:43:13",
        "2024-06-25  7:43:13",
        "2024-06-25 17:43: 3",
        "2024-06-25 24:00:00",
        "2024-06-25 23:60:00",
        "2024-06-25 23:59:60",
        "2024-02-30 00:00:00",
        "2023-02-29 00:00:00",
        "1900-02-29 00:00:00",
        "2024-04-31 00:00:00",
        "2024-00-10 00:00:00",
        "2024-13-10 00:00:00",
        "2024-01-00 00:00:00",
        "0000-01-01 00:00:00",
        "+024-06-25 17:43:13",
        "-024-06-25 17:43:13",
        "25-06-2024 17:43:13",
        "2024/06/25 17:43:13",
        "\uff12\uff10\uff12\uff14-06-25 17:43:13",
        "2024-06-25 17:43:1é",
        "\u0661\u0662\u0663\u0664-06-25 17:43:13",
    ],
)
def test_what_is_not_written_exactly_so_or_does_not_exist_is_no_time(text: str) -> None:
    assert seconds_of("2024-02-29 00:00:00", text, "1970-01-01 00:00:01") == [1709164800, NEVER, 1]


def test_times_far_from_today_do_not_overflow() -> None:
    assert seconds_of("0001-01-01 00:00:00", "9999-12-31 23:59:59") == [-62135596800, 253402300799]


def test_texts_are_trimmed_of_ascii_blanks_and_empty_ones_are_missing() -> None:
    texts = Texts(["a", " a\t", "", "  ", "\u00a0b", "b", "\v\f\r\nb"])

    assert list(texts.where()) == ["a", "a", np.nan, np.nan, "\u00a0b", "b", "b"]
    assert texts.present.tolist() == [True, True, False, False, True, True, True]


def test_a_column_without_any_text_is_all_missing() -> None:
    assert Texts(["", " "]).present.tolist() == [False, False]
    assert len(Texts([]).where()) == 0


def test_keys_tell_repeats_within_and_across_chunks_and_keep_the_first_number() -> None:
    keys = Keys()

    assert keys.add(Texts(["a", "b", "a", ""]), np.array([1, 2, 3, 4])).tolist() == [False, False, True, False]
    assert keys.add(Texts(["", "c", "b", "c"]), np.array([5, 6, 7, 8])).tolist() == [False, False, True, True]

    wanted = Texts(["c", "x", "a", "b"])
    assert keys.numbers(keys.find(wanted), NEVER).tolist() == [6, NEVER, 1, 2]


def test_without_keys_nothing_is_found() -> None:
    assert Keys().find(Texts(["a"])).tolist() == [-1]
