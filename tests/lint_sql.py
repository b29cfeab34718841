"""Lint the SQL as dbt renders it and sends it: `python -m tests.lint_sql`.

sqlfluff's dbt templater compiles with the real adapter, which asks a warehouse what schemas it has. Meanwhile dbt
loads a small batch twice into that warehouse, so that every kind of statement is sent. Then each statement, compiled or
sent, must parse as Redshift's SQL and contain nothing that only PostgreSQL takes.
"""

import json
import logging
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import boto3
import sqlglot
from dbt.cli.main import dbtRunner
from moto.server import ThreadedMotoServer
from sqlglot import exp
from sqlglot.errors import SqlglotError

from contract.kpi_tables import kpi_table
from sandbox.redshift.copy_command import parse_copy
from sandbox.redshift.dialect import refuse_what_is_not_redshifts
from sandbox.redshift.errors import RefusedError
from sandbox.redshift.sql_text import NAME, QUALIFIED_NAME, SqlText, mask_all
from sandbox.redshift.warehouse import Warehouse
from tests.integration.dbt_project.lake_of_kpis import Batch, LakeOfKpis, genre_level_kpis, hourly_kpis

REPOSITORY = Path(__file__).parents[1]
BUCKET = "lint"
_DBT = (["build"], ["build"], ["source", "freshness"], ["docs", "generate"])
_QUIETLY = ("--quiet", "--threads", "8", "--project-dir")
# dbt writes the rows of a unit test's input under the input's name, from several threads at once, so the file can be
# torn. It never reads the file: the unit test's own SQL holds the same text.
_FIXTURE = "-- Fixture for "
# What sqlglot takes for a statement when it has understood it. It reads much else as an expression with an alias.
_STATEMENTS = (
    *(exp.Query, exp.DML, exp.Merge, exp.Copy, exp.Create, exp.Drop, exp.Alter, exp.TruncateTable, exp.Comment),
    *(exp.Grant, exp.Revoke, exp.Set, exp.Analyze, exp.Transaction, exp.Commit, exp.Rollback),
)


@dataclass(frozen=True)
class Form:
    """A form of statement that Redshift has and sqlglot does not know; `pattern` is for all of the masked statement."""

    pattern: str
    source: str
    example: str


FORMS = (
    Form(
        rf"lock\s+(?:table\s+)?{QUALIFIED_NAME}(?:\s*,\s*{QUALIFIED_NAME})*",
        "https://docs.aws.amazon.com/redshift/latest/dg/r_LOCK.html",
        'lock table "dev"."s"."t", u',
    ),
    Form(
        rf"alter\s+table\s+{QUALIFIED_NAME}\s+owner\s+to\s+{NAME}",
        "https://docs.aws.amazon.com/redshift/latest/dg/r_ALTER_TABLE.html",
        "alter table t owner to someone",
    ),
    Form(
        rf"(?:create|drop)\s+role\s+{NAME}",
        "https://docs.aws.amazon.com/redshift/latest/dg/r_CREATE_ROLE.html",
        "create role analysts",
    ),
    Form(r"reset\s+\w+", "https://docs.aws.amazon.com/redshift/latest/dg/r_RESET.html", "reset query_group"),
    Form(r"show\s+\w+", "https://docs.aws.amazon.com/redshift/latest/dg/r_SHOW.html", "show query_group"),
)


def main() -> int:
    """Return 0 when there is nothing to complain about."""
    for talkative in ("sqlglot", "werkzeug"):
        logging.getLogger(talkative).setLevel(logging.ERROR)
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.environ |= _environment(home) | {"AWS_ENDPOINT_URL": stack.enter_context(_s3())}
        warehouse = stack.enter_context(Warehouse(home / "warehouse", 0, os.environ["REDSHIFT_PASSWORD"], "lint"))
        os.environ["REDSHIFT_PORT"] = str(warehouse.port)
        with warehouse.connect() as session, session.cursor() as cursor:
            cursor.execute("create role analysts")
            session.commit()
        style = stack.enter_context(
            subprocess.Popen(
                [Path(sys.executable).with_name("sqlfluff"), "lint", "dbt_project"],
                env=os.environ | {"MUSIC_STREAMS_SCHEMA_PREFIX": "lint", "DBT_TARGET_PATH": str(home / "sqlfluff")},
                cwd=REPOSITORY,
            )
        )
        _write_batch()
        works = all(dbtRunner().invoke([*command, *_QUIETLY, str(REPOSITORY)]).success for command in _DBT)
        found = complaints_about(home / "target", warehouse.statements)
        for complaint in found:
            print(complaint)
        return style.wait() or int(bool(found) or not works)


def complaints_about(target: Path, log: Path) -> list[str]:
    """What is wrong with the SQL that dbt has left in its folder `target`, and with what the gateway's log holds."""
    origins = {
        sql: str(path.relative_to(target))
        for folder in ("compiled", "run")
        for path in (target / folder).rglob("*.sql")
        if not (sql := path.read_text()).lstrip().startswith(_FIXTURE)
    }
    sent = [json.loads(line)["sql"] for line in log.read_text().splitlines()]
    if not origins or not sent:
        return [f"dbt has left no SQL in {target}, or has sent none"]
    origins |= dict.fromkeys(sent, "what was sent")
    return sorted(
        f"{complaint}\n  in {origin}: {' '.join(sql.split())[:500]}"
        for sql, origin in origins.items()
        for complaint in complaints(sql)
    )


def complaints(sql: str) -> Iterator[str]:
    """Report what is wrong with SQL that should be Redshift's; it may be several statements."""
    try:
        for statement in mask_all(sql):
            if statement.code[:4].lower() == "copy":
                parse_copy(statement)
            else:
                refuse_what_is_not_redshifts(statement)
            if not _is_redshifts(statement):
                yield "sqlglot does not know this statement as Redshift's, nor do the exceptions in tests/lint_sql.py"
    except (SqlglotError, RefusedError) as error:
        yield str(error)


def _is_redshifts(statement: SqlText) -> bool:
    if any(re.fullmatch(form.pattern, statement.code, re.IGNORECASE) for form in FORMS):
        return True
    tree = sqlglot.parse_one(statement.restore(statement.code), read="redshift")
    return isinstance(tree, _STATEMENTS) and not tree.find(exp.Command)


@contextmanager
def _s3() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def _write_batch() -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    now = datetime.now(UTC).replace(tzinfo=None)
    batch = Batch(os.environ["MUSIC_STREAMS_BATCH_ID"], now)
    kpis = LakeOfKpis(s3, BUCKET)
    kpis.write(
        kpi_table("genre_level_kpis").output, batch, genre_level_kpis(batch, {now.date(): {"rock": 1, "unknown": 1}})
    )
    kpis.write(kpi_table("hourly_kpis").output, batch, hourly_kpis(batch, {now.date(): {7: 2}}))


def _environment(home: Path) -> dict[str, str]:
    shutil.copy(REPOSITORY / "profiles.yml.example", home / "profiles.yml")
    return {
        "AWS_ACCESS_KEY_ID": "lint",
        "AWS_SECRET_ACCESS_KEY": "lint",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "DBT_LOG_PATH": str(home / "logs"),
        "DBT_PROFILES_DIR": str(home),
        "DBT_TARGET": "sandbox",
        "DBT_TARGET_PATH": str(home / "target"),
        "MUSIC_STREAMS_BATCH_ID": "20240626T000000Z-1a2b3c4d",
        "MUSIC_STREAMS_BUCKET": BUCKET,
        "MUSIC_STREAMS_READER": "role:analysts",
        "MUSIC_STREAMS_SCHEMA_PREFIX": "lint_build",
        "REDSHIFT_DATABASE": "dev",
        "REDSHIFT_HOST": "127.0.0.1",
        "REDSHIFT_PASSWORD": secrets.token_hex(8),
        "REDSHIFT_USER": "sandbox",
    }


if __name__ == "__main__":
    sys.exit(main())
