"""The report stands alone: beside its libraries it knows the contract at most."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
OTHERS = {"airflow", "benchmarks", "dags", "expectations", "glue_jobs", "infra", "music_streams", "sandbox", "tests"}


def test_the_report_imports_no_other_part_and_not_what_it_has_no_use_for() -> None:
    code = "import sys, report.page; print(*{name.partition('.')[0] for name in sys.modules})"
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    imported = set(printed.stdout.split())
    assert {"altair", "vl_convert"} <= imported
    assert imported & (OTHERS | {"pandas", "boto3"}) == set()
