"""How the files of a batch become tasks of curation."""

from dataclasses import replace

from glue_jobs.stream_lines import PIECE_BYTES, UNCUT_BYTES, PinnedFile, plan

FILE = PinnedFile(0, "user_streams/a.csv", "a copy", 0, "user_id,track_id,listen_time", (), line_per_record=True)


def sizes(*files: PinnedFile) -> list[list[int]]:
    """The bytes of each piece of each task."""
    return [[piece.end - piece.first for piece in task] for task in plan(files, PIECE_BYTES)]


def test_a_batch_that_spark_would_not_read_sooner_is_one_task_of_pieces() -> None:
    assert sizes(replace(FILE, size=UNCUT_BYTES - 7), replace(FILE, number=1, size=7)) == [
        [PIECE_BYTES, PIECE_BYTES - 7, 7]
    ]


def test_a_larger_batch_has_a_task_for_each_piece() -> None:
    assert sizes(replace(FILE, size=UNCUT_BYTES + 1)) == [[PIECE_BYTES], [PIECE_BYTES], [1]]


def test_small_files_of_a_larger_batch_share_a_task() -> None:
    small = [replace(FILE, number=number, size=PIECE_BYTES // 2) for number in (1, 2)]
    assert sizes(replace(FILE, size=UNCUT_BYTES), *small) == [[PIECE_BYTES], [PIECE_BYTES], [PIECE_BYTES // 2] * 2]


def test_a_file_that_cannot_be_cut_is_one_piece() -> None:
    whole = replace(FILE, size=UNCUT_BYTES + 1, line_per_record=False)
    assert sizes(whole) == sizes(replace(whole, line_per_record=True, compression="gzip")) == [[UNCUT_BYTES + 1]]
