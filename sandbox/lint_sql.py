"""Lint the SQL as dbt renders it: `python -m sandbox.lint_sql`.

sqlfluff's dbt templater compiles with the real adapter, which asks a warehouse what schemas it has; an empty one is
enough, so it gets one for as long as it runs.
"""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from sandbox.redshift.warehouse import Warehouse

REPOSITORY = Path(__file__).parents[1]


def main() -> int:
    """Return sqlfluff's exit status."""
    password = secrets.token_hex(8)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        shutil.copy(REPOSITORY / "profiles.yml.example", home / "profiles.yml")
        with Warehouse(home / "warehouse", 0, password, "lint") as warehouse:
            environment = {
                "AWS_REGION": "us-east-1",
                "DBT_LOG_PATH": str(home / "logs"),
                "DBT_PROFILES_DIR": str(home),
                "DBT_TARGET": "sandbox",
                "DBT_TARGET_PATH": str(home / "target"),
                "MUSIC_STREAMS_BATCH_ID": "lint",
                "MUSIC_STREAMS_BUCKET": "lint",
                "MUSIC_STREAMS_SCHEMA_PREFIX": "lint",
                "REDSHIFT_DATABASE": "dev",
                "REDSHIFT_HOST": "127.0.0.1",
                "REDSHIFT_PASSWORD": password,
                "REDSHIFT_PORT": str(warehouse.port),
                "REDSHIFT_USER": "sandbox",
            }
            command = [str(Path(sys.executable).with_name("sqlfluff")), "lint", "dbt_project"]
            return subprocess.run(command, env={**os.environ, **environment}, cwd=REPOSITORY, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
