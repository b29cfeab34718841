"""Arguments as Glue passes them."""

import pytest

from glue_jobs.arguments import parse_arguments


def test_ours_are_found_among_glue_s_own() -> None:
    argv = [
        "script.py",
        "true",
        "--JOB_NAME",
        "curate",
        "--bucket",
        "lake",
        "--airflow_task_uuid",
        "x",
        "--batch_id=b 1",
    ]
    assert parse_arguments(argv, ["bucket", "batch_id"]) == {"bucket": "lake", "batch_id": "b 1"}


def test_a_prefix_of_a_name_is_not_the_name() -> None:
    with pytest.raises(ValueError, match=r"^job argument missing: --batch_id$"):
        parse_arguments(["script.py", "--batch", "b"], ["batch_id"])


def test_all_missing_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="--bucket, --batch_id"):
        parse_arguments(["script.py"], ["bucket", "batch_id"])
