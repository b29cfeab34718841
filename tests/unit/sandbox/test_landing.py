"""What of a folder lands, and what is said when there is nothing to land."""

from pathlib import Path

import pytest

from sandbox import landing
from sandbox.home import Home, SandboxError


def folder_with(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("content")
    return folder


def keys(folder: Path) -> set[str]:
    return set(landing.from_folder(str(folder)).files)


def test_the_three_kinds_of_files_land(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "songs.csv", "users.csv", "user_streams/a b%+ä.csv", "user_streams/c.csv")

    assert keys(folder) == {
        "music_streams/songs.csv",
        "music_streams/users.csv",
        "music_streams/user_streams/a b%+ä.csv",
        "music_streams/user_streams/c.csv",
    }


def test_each_kind_may_be_left_out(tmp_path: Path) -> None:
    assert keys(folder_with(tmp_path / "1", "songs.csv")) == {"music_streams/songs.csv"}
    assert keys(folder_with(tmp_path / "2", "users.csv")) == {"music_streams/users.csv"}
    assert keys(folder_with(tmp_path / "3", "user_streams/a.csv")) == {"music_streams/user_streams/a.csv"}


def test_stream_files_land_from_folders_compressed_or_not(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "user_streams/old/a.csv", "user_streams/old/a.CSV.gz")

    assert keys(folder) == {"music_streams/user_streams/old/a.csv", "music_streams/user_streams/old/a.CSV.gz"}


def test_every_other_file_is_left_out_with_the_reason(tmp_path: Path) -> None:
    folder = folder_with(
        tmp_path,
        "users.csv",
        "notes.txt",
        "user_streams/readme.md",
        "old.csv.gz",
        "2024/a.csv",
        "Songs.CSV",
        "user_streams/b.csv",
    )
    (folder / "songs.csv").mkdir()

    delivery = landing.from_folder(str(folder))

    assert set(delivery.files) == {"music_streams/users.csv", "music_streams/user_streams/b.csv"}
    assert delivery.left_out == {
        "2024/a.csv": "put it into user_streams/ if it holds listening events",
        "Songs.CSV": "rename it to songs.csv if it is the table of that name",
        "notes.txt": "is neither songs.csv nor users.csv, nor a stream file below user_streams/",
        "old.csv.gz": "put it into user_streams/ if it holds listening events",
        "user_streams/readme.md": "does not end in .csv or .csv.gz",
    }


@pytest.mark.parametrize("name", ["user_streams.csv", "user_streams"])
def test_a_file_that_is_named_like_the_folder_of_streams_is_left_out(name: str) -> None:
    assert landing.why_left_out(name)


def test_of_many_files_that_do_not_land_the_first_are_named_and_the_others_counted() -> None:
    lines = landing.sentences({f"{number:04}.txt": "why" for number in range(1_020)})

    assert (len(lines), lines[0], lines[-1]) == (21, "0000.txt: why", "and 1,000 more")


def test_files_that_wait_from_before_are_shown_beside_the_folder_with_the_command_that_takes_one_away(
    tmp_path: Path,
) -> None:
    delivery = landing.from_folder(str(folder_with(tmp_path, "user_streams/a.csv")))

    assert landing.taken_in_besides(["user_streams/a.csv"], delivery) == []
    assert landing.taken_in_besides(["user_streams/a.csv", "user_streams/it's evil.csv"], delivery) == [
        "1 file waits from before in the landing prefix, and the run takes it in, too:",
        "  user_streams/it's evil.csv",
        """  not wanted?  make remove FILE='user_streams/it'"'"'s evil.csv'""",
    ]


def test_of_many_files_that_wait_the_first_are_named(tmp_path: Path) -> None:
    lines = landing.taken_in_besides([f"user_streams/{number:04}.csv" for number in range(1_005)], None)

    assert lines[0].startswith("1,005 files wait from before")
    assert (len(lines), lines[-2]) == (8, "  and 1,000 more")


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "misssing"

    with pytest.raises(SandboxError, match="does not exist") as error:
        landing.from_folder(str(missing))

    assert str(missing) in str(error.value)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="is no folder"):
        landing.from_folder(str(folder_with(tmp_path, "songs.csv") / "songs.csv"))


def test_a_folder_of_which_nothing_lands_is_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(SandboxError) as error:
        landing.from_folder(str(folder_with(tmp_path, "streams/a.csv", "Songs.CSV")))

    assert "songs.csv, users.csv or user_streams/**/*.csv" in str(error.value)
    assert "Songs.CSV: rename it to songs.csv" in str(error.value)
    assert "streams/a.csv: put it into user_streams/" in str(error.value)


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="It holds:\n  nothing"):
        landing.from_folder(str(tmp_path))


def test_the_users_home_may_be_abbreviated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder_with(tmp_path, "mine/users.csv")))

    assert set(landing.from_folder("~/mine").files) == {"music_streams/users.csv"}


def test_sample_days_follow_each_other_and_a_day_is_repeated_until_it_has_landed(tmp_path: Path) -> None:
    home = Home(tmp_path)
    first = landing.sample_day(home)
    again = landing.sample_day(home)
    landing.next_sample_day(home)
    second = landing.sample_day(home)

    assert first.title == again.title == "the sample data of 2024-06-25"
    assert second.title == "the sample data of 2024-06-26"
    assert {"music_streams/songs.csv", "music_streams/users.csv"} < set(first.files)
    assert set(first.files) & set(second.files) == {"music_streams/songs.csv", "music_streams/users.csv"}
