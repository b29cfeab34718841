"""The second computation against cases small enough to be worked out by hand."""

from datetime import UTC, date, datetime

import pytest

from tests.oracle import GENRE_KEY, HOUR_KEY, Expected, age_band, cut, differences, expected_tables

DAY = date(2024, 6, 25)
BATCH_TIME = datetime(2024, 6, 26, 0, 0, 3, tzinfo=UTC)

SONGS = """id,track_id,artists,track_name,duration_ms,track_genre
0,t1,Ada;Bob,One,100000,pop
1,t2, Bob ;Bob;,"Two, too",200500,pop
4,t3,Cai,Drei,300000,rock
5,t4,Ada,Nameless,400000,
6,t5,,,500000,jazz
"""
USERS = """user_id,user_name,user_age,user_country,created_at
1,A,17,Peru,2024-07-01
2,B,25,Peru,2024-07-01
3,C,66,Peru,2020-01-01
4,D,131,Peru,2020-01-01
5,E,,Peru,2020-01-01
"""


def tables(*rows: str, songs: str = SONGS, users: str = USERS) -> Expected:
    content = "\n".join(["user_id,track_id,listen_time", *rows]) + "\n"
    return expected_tables(songs.encode(), users.encode(), [("a.csv", content.encode())], BATCH_TIME)


def genre_row(expected: Expected, genre: str) -> dict[str, object]:
    return dict(expected.genre_level_kpis[DAY, genre])


def hour_row(expected: Expected, hour: int) -> dict[str, object]:
    return dict(expected.hourly_kpis[DAY, hour])


def test_a_small_day_worked_out_by_hand() -> None:
    expected = tables(
        "1,t1,2024-06-25 10:00:00",
        "1,t1,2024-06-25 10:00:01",
        "2,t2,2024-06-25 10:30:00",
        "3,t3,2024-06-25 11:00:00",
        "9,nobody knows,2024-06-25 11:00:00",
    )
    assert expected.accepted == 5
    assert expected.accepted_by_date == {DAY: 5}
    assert genre_row(expected, "pop") == {
        "listen_date": DAY,
        "track_genre": "pop",
        "listen_count": 3,
        "unique_listeners": 2,
        "popularity_index": 0.6,
        "average_duration": pytest.approx((100 + 100 + 200.5) / 3, rel=1e-12),
        "most_popular_track_id": "t1",
        "most_popular_track_name": "One",
    }
    assert genre_row(expected, "unknown") == {
        "listen_date": DAY,
        "track_genre": "unknown",
        "listen_count": 1,
        "unique_listeners": 1,
        "popularity_index": 0.2,
        "average_duration": None,
        "most_popular_track_id": "nobody knows",
        "most_popular_track_name": None,
    }
    assert set(expected.genre_level_kpis) == {(DAY, "pop"), (DAY, "rock"), (DAY, "unknown")}
    assert hour_row(expected, 10) == {
        "listen_date": DAY,
        "listen_hour": 10,
        "listen_count": 3,
        "unique_listeners": 2,
        "listens_per_listener": 1.5,
        "top_artist": "Bob",
        "top_artist_listen_count": 3,
        "diversity_index": pytest.approx(2 / 3, rel=1e-12),
        "most_engaged_age_group": "<18",
    }
    assert set(expected.hourly_kpis) == {(DAY, 10), (DAY, 11)}


def test_of_tied_tracks_the_smallest_id_is_the_most_popular() -> None:
    expected = tables("1,t2,2024-06-25 10:00:00", "2,t1,2024-06-25 11:00:00")
    assert genre_row(expected, "pop")["most_popular_track_id"] == "t1"


def test_tied_artists_are_ordered_by_code_point_not_by_alphabet() -> None:
    songs = "track_id,artists,track_name,duration_ms,track_genre\na,émile;Zoe;abe,x,1,pop\n"
    expected = tables("1,a,2024-06-25 10:00:00", songs=songs)
    assert hour_row(expected, 10)["top_artist"] == "Zoe"


def test_tied_artists_beyond_the_basic_plane_are_ordered_by_code_point_not_by_utf_16() -> None:
    songs = "track_id,artists,track_name,duration_ms,track_genre\na,\U0001f4fb;\uff5e,x,1,pop\n"
    assert hour_row(tables("1,a,2024-06-25 10:00:00", songs=songs), 10)["top_artist"] == "\uff5e"


def test_of_tied_age_bands_the_younger_wins() -> None:
    expected = tables("3,t1,2024-06-25 10:00:00", "2,t1,2024-06-25 10:00:00", "9,t1,2024-06-25 10:00:00")
    assert hour_row(expected, 10)["most_engaged_age_group"] == "18-25"
    old_wins = tables("3,t1,2024-06-25 10:00:00", "3,t1,2024-06-25 10:00:01", "1,t1,2024-06-25 10:00:00")
    assert hour_row(old_wins, 10)["most_engaged_age_group"] == "66+"


def test_no_age_no_age_group_and_no_known_track_no_artist() -> None:
    row = hour_row(tables("4,x,2024-06-25 10:00:00", "5,x,2024-06-25 10:00:00", "9,t5,2024-06-25 10:00:00"), 10)
    assert row["most_engaged_age_group"] is None
    assert row["top_artist"] is None
    assert row["top_artist_listen_count"] is None
    assert row["listen_count"] == 3


@pytest.mark.parametrize(
    ("band", "ages"),
    [
        ("<18", [0, 17]),
        ("18-25", [18, 25]),
        ("26-35", [26, 35]),
        ("36-45", [36, 45]),
        ("46-55", [46, 55]),
        ("56-65", [56, 65]),
        ("66+", [66, 130]),
        (None, [-1, 131, None]),
    ],
)
def test_ages_fall_into_bands(band: str | None, ages: list[int | None]) -> None:
    assert {age_band(age) for age in ages} == {band}


def test_an_artist_named_twice_in_a_list_is_credited_once() -> None:
    row = hour_row(tables("1,t2,2024-06-25 10:00:00"), 10)
    assert (row["top_artist"], row["top_artist_listen_count"]) == ("Bob", 1)


def test_a_track_without_a_genre_counts_as_unknown_but_has_a_name_and_artists() -> None:
    expected = tables("1,t4,2024-06-25 10:00:00")
    row = genre_row(expected, "unknown")
    assert (row["most_popular_track_name"], row["average_duration"]) == ("Nameless", None)
    assert hour_row(expected, 10)["top_artist"] == "Ada"


def test_a_genre_of_blanks_is_none_and_of_blanks_around_a_genre_only_trailing_spaces_go() -> None:
    songs = "track_id,artists,track_name,duration_ms,track_genre\na,X,x,1000, \nb,X,x,1000, pop  \n"
    expected = tables("1,a,2024-06-25 10:00:00", "1,b,2024-06-25 10:00:00", songs=songs)
    assert {genre for _, genre in expected.genre_level_kpis} == {"unknown", " pop"}


def test_of_a_track_that_comes_twice_the_lowest_id_counts_as_a_number() -> None:
    songs = (
        "id,track_id,artists,track_name,duration_ms,track_genre\n"
        "10,a,X,ten,1000,pop\n9,a,Y,nine,2000,jazz\n11,a,Z,eleven,3000,rock\n"
    )
    row = genre_row(tables("1,a,2024-06-25 10:00:00", songs=songs), "jazz")
    assert (row["most_popular_track_name"], row["average_duration"]) == ("nine", 2.0)


def test_the_same_triple_counts_once_in_whatever_file_and_dress() -> None:
    files = [
        ("a.csv", b"user_id,track_id,listen_time\n1,t1,2024-06-25 10:00:00\n1,t1,2024-06-25 10:00:00\n"),
        ("b.csv", b'\xef\xbb\xbflisten_time, track_id ,extra,user_id\r\n 2024-06-25 10:00:00\t,"t1",x, 1\r\n'),
        ("c.csv", b"user_id,track_id,listen_time\n1,t1,2024-06-25 10:00:01\n"),
    ]
    expected = expected_tables(SONGS.encode(), USERS.encode(), files, BATCH_TIME)
    assert (expected.accepted, expected.duplicates, expected.rejected.total()) == (2, 2, 0)


def test_ids_keep_their_case_and_leading_zeros() -> None:
    assert tables(*(f"{user},t1,2024-06-25 10:00:00" for user in ("1", "01", "a", "A"))).accepted == 4


def test_rows_that_are_no_events_are_rejected_with_the_reason() -> None:
    expected = tables(
        ",t1,2024-06-25 10:00:00",
        '"",t1,2024-06-25 10:00:00',
        "1, ,2024-06-25 10:00:00",
        "1,t1,",
        "1,t1",
        "1,t1,2024-06-25 10:00:00,",
        "1,t1,2024-06-25",
        "1,t1,2024-06-25T10:00:00",
        "1,t1,2024-06-25 10:00:00Z",
        "1,t1,2024-06-25 10:00",
        "1,t1,2024-6-25 10:00:00",
        "1,t1,2024-02-30 10:00:00",
        "1,t1,2024-06-25 24:00:00",
        "1,t1,0000-01-01 00:00:00",
        "1,t1,\uff12024-06-25 10:00:00",
        "1,t\0001,2024-06-25 10:00:00",
        "user_id,track_id,listen_time",
        "",
        "   ",
    )
    assert expected.accepted == 0
    assert expected.rejected == {
        "user_id is missing": 2,
        "track_id is missing": 1,
        "listen_time is missing": 1,
        "wrong number of fields": 2,
        "listen_time is not a timestamp": 9,
        "forbidden character": 1,
        "repeated header": 1,
    }
    assert not expected.hourly_kpis
    assert not expected.genre_level_kpis


def test_a_row_is_future_when_more_than_a_day_after_its_own_batch() -> None:
    row = b"user_id,track_id,listen_time\n1,t1,2024-06-27 00:00:04\n"
    on_time = datetime(2024, 6, 26, 0, 0, 4, tzinfo=UTC)
    files = [("a.csv", row)]
    assert expected_tables(SONGS.encode(), USERS.encode(), files, BATCH_TIME).rejected == {
        "listen_time is in the future": 1
    }
    assert expected_tables(SONGS.encode(), USERS.encode(), files, on_time).accepted == 1
    both = expected_tables(
        SONGS.encode(), USERS.encode(), [*files, ("b.csv", row)], {"a.csv": BATCH_TIME, "b.csv": on_time}
    )
    assert (both.accepted, both.duplicates, both.rejected.total()) == (1, 0, 1)


def test_names_are_cut_at_a_character_within_the_columns_bytes() -> None:
    assert cut("aé", 3) == "aé"
    assert cut("aé", 2) == "a"
    assert cut("夜" * 342, 1024) == "夜" * 341
    assert cut("a\0b", 2) == "ab"
    songs = f"track_id,artists,track_name,duration_ms,track_genre\na,{'é' * 513},{'x' * 1025},1,{'g' * 257}\n"
    expected = tables("1,a,2024-06-25 10:00:00", songs=songs)
    assert hour_row(expected, 10)["top_artist"] == "é" * 512
    assert genre_row(expected, "g" * 256)["most_popular_track_name"] == "x" * 1024


def test_numbers_may_have_decimals_and_exponents() -> None:
    songs = (
        "id,track_id,artists,track_name,duration_ms,track_genre\n"
        "1e1,a,X,ten,1,pop\n9.0,a,X,nine,60500.0005,pop\n"
        "1,b,X,minus,-1,rock\n2,c,X,endless,1e99,rock\n3,d,X,full width,\uff11,rock\n4,e,X,exponent,6.05e4,jazz\n"
    )
    plays = [f"1,{track},2024-06-25 10:00:00" for track in "abcde"]
    expected = tables(*plays, songs=songs, users="user_id,user_age\n1,25.9\n")
    assert genre_row(expected, "pop")["average_duration"] == 60.500001
    assert genre_row(expected, "pop")["most_popular_track_name"] == "nine"
    assert genre_row(expected, "rock")["average_duration"] is None
    assert genre_row(expected, "jazz")["average_duration"] == 60.5
    assert hour_row(expected, 10)["most_engaged_age_group"] == "18-25"


def test_names_stay_as_they_are() -> None:
    songs = 'track_id,artists,track_name,duration_ms,track_genre\n a , X," Two\nlines, ""quoted"" ",1000,pop\n'
    row = genre_row(tables("1,a,2024-06-25 10:00:00", songs=songs), "pop")
    assert row["most_popular_track_name"] == ' Two\nlines, "quoted" '


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "a.csv is empty"),
        (b"user_id,track_id\n", r"a.csv lacks the columns \['listen_time'\]"),
        (b"\xff\xfe", "utf-8"),
    ],
)
def test_files_that_validation_refuses_are_refused(content: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        expected_tables(SONGS.encode(), USERS.encode(), [("a.csv", content)], BATCH_TIME)


def test_a_user_that_comes_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="'1' comes twice"):
        tables(users="user_id,user_age\n1,20\n1,30\n")


HOURLY_CSV = """listen_date,listen_hour,listen_count,unique_listeners,listens_per_listener,top_artist,\
top_artist_listen_count,diversity_index,most_engaged_age_group,batch_id
2024-06-25,10,3,2,1.5,Bob,3,0.6666666666666667,<18,B
2024-06-25,11,1,1,1.0,,,1.0,,B
"""


def three_plays_and_one() -> Expected:
    return tables(
        "1,t1,2024-06-25 10:00:00",
        "1,t1,2024-06-25 10:00:01",
        "2,t2,2024-06-25 10:30:00",
        "9,x,2024-06-25 11:00:00",
    )


def test_equal_tables_have_no_differences_and_null_is_an_empty_field() -> None:
    assert differences(three_plays_and_one().hourly_kpis, HOURLY_CSV, HOUR_KEY) == ""
    nearly = HOURLY_CSV.replace("0.6666666666666667", "0.66666666670")
    assert differences(three_plays_and_one().hourly_kpis, nearly, HOUR_KEY) == ""


@pytest.mark.parametrize(
    ("change", "reported"),
    [
        (("10,3,2", "10,4,2"), "2024-06-25 / 10: listen_count is '4', expected 3"),
        (("Bob", "Ada"), "2024-06-25 / 10: top_artist is 'Ada', expected 'Bob'"),
        (("0.6666666666666667", "0.6666667"), "diversity_index is '0.6666667', expected 0.6666666666666666"),
        (("0.6666666666666667", ""), "diversity_index is '', expected 0.6666666666666666"),
        (("1.0,,,1.0", "1.0,Ada,1,1.0"), "2024-06-25 / 11: top_artist is 'Ada', expected None"),
        (("2024-06-25,11", "2024-06-25,12"), "2024-06-25 / 11: missing\n2024-06-25 / 12: not expected"),
        (("2024-06-25,11", "2024-06-25,10"), "2024-06-25 / 10: comes more than once"),
        ((",most_engaged_age_group", ",age"), "no column most_engaged_age_group"),
    ],
)
def test_a_difference_is_reported_by_key_and_column(change: tuple[str, str], reported: str) -> None:
    assert reported in differences(three_plays_and_one().hourly_kpis, HOURLY_CSV.replace(*change), HOUR_KEY)


def test_names_are_compared_with_their_line_breaks_and_quotes() -> None:
    songs = 'track_id,artists,track_name,duration_ms,track_genre\na,X,"Two\nlines, ""q""",1000,pop\n'
    expected = tables("1,a,2024-06-25 10:00:00", songs=songs).genre_level_kpis
    found = (
        "listen_date,track_genre,listen_count,unique_listeners,popularity_index,average_duration,most_popular_track_id,"
        'most_popular_track_name\n2024-06-25,pop,1,1,1,1,a,"Two\nlines, ""q"""\n'
    )
    assert differences(expected, found, GENRE_KEY) == ""


def test_rows_where_none_are_expected_are_reported() -> None:
    assert differences({}, HOURLY_CSV, HOUR_KEY) == "2024-06-25 / 10: not expected\n2024-06-25 / 11: not expected"
