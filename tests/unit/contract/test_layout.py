"""The lake's own folders are distinguished from those of others."""

from contract import layout


def test_every_prefix_of_the_layout_lies_in_a_folder_of_ours() -> None:
    prefixes = [value for value in vars(layout).values() if str(value).startswith(f"{layout.ROOT}/")]
    folders = {prefix.split("/")[1] for prefix in prefixes if prefix not in (layout.SONGS, layout.USERS)}
    assert folders == layout.FOLDERS
