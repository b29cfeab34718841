import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def printed_by(code: str) -> str:
    """Run code in a Python of its own, which has imported nothing yet."""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_the_report_can_be_imported_anywhere() -> None:
    heavy = "{'great_expectations', 'pandas', 'numpy', 'pyspark'}"

    assert printed_by(f"import sys, expectations.report; print({heavy} & set(sys.modules))") == "set()\n"


def test_great_expectations_sends_nothing_and_tells_nothing_of_itself() -> None:
    code = """
import logging, os
logging.basicConfig(level=logging.INFO, format="%(name)s")
from datetime import UTC, datetime
from expectations.validation import validate_files
from expectations.documents import documents
documents(validate_files([], batch_time=datetime.now(UTC)))
print(os.environ["GX_ANALYTICS_ENABLED"])
"""
    python = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)

    assert python.stdout == "false\n"
    # One module sets its own level, and reports a folder that it has not made.
    assert set(python.stderr.splitlines()) <= {"great_expectations.data_context.types.base"}
