"""What a failed run says: the script's last exception, as Glue reports it."""

import pytest

from sandbox.aws.glue_runs import failure

TRACEBACK = 'Traceback (most recent call last):\n  File "/x/job.py", line 3, in <module>\n    main()\n'

PY4J = f"""26/11/23 14:05:33 WARN SparkConf: something
{TRACEBACK}py4j.protocol.Py4JJavaError: An error occurred while calling o42.collectToPython.
: java.io.IOException: No space left on device
\tat java.base/sun.nio.ch.FileDispatcherImpl.write0(Native Method)
Caused by: java.lang.Exception: x
\t... 12 more
"""

KERNEL = f"""26/11/23 14:05:33 ERROR Executor: Exception in task 0.0 in stage 0.0 (TID 0)
{TRACEBACK}pyspark.errors.exceptions.captured.PythonException: 
  An exception was thrown from the Python worker. Please see the stack trace below.
{TRACEBACK}glue_jobs.errors.RowsDifferError: a.csv has 3 rows, validation read 4

"""  # noqa: W291  Spark's own blank


def test_it_is_the_last_exception_of_a_chain() -> None:
    stderr = f"{TRACEBACK}KeyError: 'a'\n\nDuring handling of the above exception, another exception occurred:\n\n"
    assert failure(1, f"{stderr}{TRACEBACK}glue_jobs.errors.RejectLimitError: 7 %\n") == (
        "glue_jobs.errors.RejectLimitError: 7 %"
    )


def test_lines_that_follow_the_exception_belong_to_it_but_logs_and_java_stacks_do_not() -> None:
    assert failure(1, f"{TRACEBACK}ValueError: two problems\n- one\n- other\n26/11/23 14:05:33 WARN X: y\n") == (
        "ValueError: two problems\n- one\n- other"
    )
    assert failure(1, PY4J) == (
        "py4j.protocol.Py4JJavaError: An error occurred while calling o42.collectToPython.\n"
        ": java.io.IOException: No space left on device"
    )


def test_an_exception_of_a_task_is_reported_without_what_spark_adds() -> None:
    assert failure(1, KERNEL) == "glue_jobs.errors.RowsDifferError: a.csv has 3 rows, validation read 4"


def test_an_exception_without_words_is_named() -> None:
    assert failure(1, f"{TRACEBACK}AssertionError\n") == "AssertionError"


@pytest.mark.parametrize(
    ("status", "stderr", "message"),
    [
        (1, "", "Command failed with exit code 1"),
        (2, "warning\nno such batch\n\n", "Command failed with exit code 2: no such batch"),
        (137, "", "Command was ended by signal 9 (SIGKILL)"),
        (255, "", "Command failed with exit code 255"),
        (1, "Traceback (most recent call last):\n", "Command failed with exit code 1: Traceback"),
    ],
)
def test_without_an_exception_it_is_how_the_process_ended(status: int, stderr: str, message: str) -> None:
    assert failure(status, stderr).startswith(message)


def test_endless_messages_are_cut() -> None:
    assert len(failure(1, f"{TRACEBACK}ValueError: {'x' * 100_000}\n")) <= 2000
