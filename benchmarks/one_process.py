"""Contestant: one DuckDB process that does all the work. `python -m benchmarks.one_process FOLDER LATEST`.

FOLDER holds songs.csv, users.csv and user_streams/*.csv; LATEST is the last moment that an event may have (UTC). The
results are in FOLDER/one_process: rejected.json, curated/, and a Parquet file for each KPI table.
"""

import os
import sys
from datetime import datetime
from pathlib import Path

import duckdb

RESULTS = "one_process"
THREADS = 2  # the number of cores that Spark has in the sandbox


def main(folder: Path, latest: datetime) -> None:
    """Run the statements of one_process.sql in the folder."""
    statements = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    os.chdir(folder)
    Path(RESULTS).mkdir()
    with duckdb.connect(config={"threads": THREADS, "preserve_insertion_order": False}) as database:
        database.execute("set variable latest = $latest::timestamp", {"latest": latest})
        database.execute(statements)


if __name__ == "__main__":
    main(Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2]))
