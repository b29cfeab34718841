"""Nobody's credentials are in the repository; and the search for a sandbox's secrets finds them wherever they stand.

That search ends the scenarios of test_pipeline.py: a run that went well and one that failed.
"""

import json
import re
import sqlite3
import subprocess
import sys
import zlib
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from sandbox import airflow
from sandbox.home import REPOSITORY, Home
from sandbox.settings import ACCOUNT
from tests.integration.secrets_search import leaks

CREDENTIALS = {
    "an access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a secret key": r"(?i)secret_?(?:access_?)?key\W{1,4}[A-Za-z0-9/+]{40}\b",
    "a session token": r"\b(?:FwoGZXIvYXdz|IQoJb3JpZ2lu)[A-Za-z0-9/+]{20,}",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "an account": rf"\barn:aws[a-z-]*:[a-z0-9-]*:[a-z0-9-]*:(?!{ACCOUNT}\b)\d{{12}}:",
    "an account's registry or queue": rf"\b(?!{ACCOUNT})\d{{12}}\.dkr\.ecr\.|amazonaws\.com/(?!{ACCOUNT})\d{{12}}/",
    "a made-up name of an account": r"(?i)account(?:_?id)?['\"]?\s*[:=]\s*['\"]?(?!" + ACCOUNT + r")\d{12}\b",
}


def credentials_in(text: str) -> list[str]:
    """What in a text looks as if it opened or named somebody's AWS account."""
    return [f"{name}: {found[0]}" for name, pattern in CREDENTIALS.items() for found in re.finditer(pattern, text)]


def test_no_tracked_file_holds_credentials_or_an_account() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    files = [REPOSITORY / name for name in listed.stdout.split("\0") if name]
    assert len(files) > 100
    found = {
        str(file.relative_to(REPOSITORY)): credentials_in(file.read_text(encoding="utf-8", errors="replace"))
        for file in files
        if file.is_file()  # one may be deleted and not committed yet
    }
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "text",
    [
        "key = AKIA" + "IOSFODNN7EXAMPLE",
        "ASIA" + "IOSFODNN7EXAMPLE",
        'aws_secret_access_key = "' + "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" + '"',
        "SecretAccessKey: " + "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "AWS_SESSION_TOKEN=" + "IQoJb3JpZ2lu" + "X2VjEAoaCXVzLWVhc3QtMSJH",
        "-----BEGIN RSA " + "PRIVATE KEY-----",
        "arn:aws:iam::" + "999988887777:role/admin",
        "999988887777" + ".dkr.ecr.us-east-1.amazonaws.com/image",
        "https://sqs.us-east-1.amazonaws.com/" + "999988887777/queue",
        "account_id: " + "'999988887777'",
    ],
)
def test_what_looks_like_credentials_is_found(text: str) -> None:
    assert credentials_in(f"harmless\n{text}\n") != []


@pytest.mark.parametrize(
    "text",
    [f"arn:aws:iam::{ACCOUNT}:role/admin", "arn:aws:s3:::bucket", "sha256:" + "9" * 64, f"ACCOUNT = '{ACCOUNT}'"],
)
def test_what_is_harmless_is_not_found(text: str) -> None:
    assert credentials_in(text) == []


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """What a sandbox keeps, with a database of Airflow, and no secret outside its own file."""
    home = Home(tmp_path)
    home.secrets()
    (home.logs / "aws.log").write_text(f"key {home.secrets().aws_access_key_id} asked for s3://lake\n")
    with closing(sqlite3.connect(airflow.database(home))) as connection:
        connection.execute("create table rendered_task_instance_fields (task_id text, rendered_fields json)")
        connection.execute("create table serialized_dag (data_compressed blob)")
    return home


def test_a_sandbox_without_leaks_has_none(home: Home) -> None:
    assert leaks(home) == []


SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "in an address": lambda secret: f"redshift://sandbox:{quote(secret, safe='')}@127.0.0.1/dev",
    "in JSON": lambda secret: json.dumps({"env": {"REDSHIFT_PASSWORD": secret}}),
    "in base64": lambda secret: b64encode(secret.encode()).decode(),
    "in a basic authorization": lambda secret: "Basic " + b64encode(f"admin:{secret}".encode()).decode(),
    "in a longer text in base64": lambda secret: urlsafe_b64encode(f"name=x&password={secret}&more".encode()).decode(),
}


@pytest.mark.parametrize("name", ["redshift_password", "aws_secret_access_key", "airflow_fernet_key"])
@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
def test_a_planted_secret_is_found_in_logs_objects_and_tables(
    home: Home, name: str, spell: Callable[[str], str]
) -> None:
    planted = spell(getattr(home.secrets(), name))
    (home.folder("airflow/logs/dag_id=x") / "attempt=1.log").write_text(f"dbt said {planted} to whom it may concern")
    (home.folder("aws/s3/bucket") / "object").write_bytes(b"\x00\xff" + planted.encode() + b"\xfe")
    with closing(sqlite3.connect(airflow.database(home))) as connection:
        values = ("x" * 5000 + planted + "x" * 5000, zlib.compress(planted.encode()))
        connection.execute("insert into rendered_task_instance_fields values ('load', ?)", values[:1])
        connection.execute("insert into serialized_dag values (?)", values[1:])
        connection.commit()

    found = leaks(home)

    for place in (
        "airflow/logs/dag_id=x/attempt=1.log",
        "aws/s3/bucket/object",
        "table rendered_task_instance_fields of Airflow",
        "table serialized_dag of Airflow",
    ):
        assert f"{name} in {place}" in found


def test_a_secret_on_a_command_line_is_found(home: Home) -> None:
    secret = home.secrets().airflow_password
    waiting = [sys.executable, "-c", "input()", str(home.path), secret]
    with subprocess.Popen(waiting, stdin=subprocess.PIPE) as process:
        found = leaks(home)
        process.kill()
    assert any("airflow_password in the command" in place for place in found)
