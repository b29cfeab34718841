"""Searches for a sandbox's secrets where they must not be: in all it keeps but the files that exist to keep them."""

import json
import sqlite3
import zlib
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, suppress
from urllib.parse import quote

import psutil

from sandbox import airflow
from sandbox.home import Home

# Files that exist to keep a secret, and are their owner's alone.
KEEPERS = ("secrets.json", "airflow/passwords.json")


def spellings(secret: str) -> set[bytes]:
    """A secret as it may stand somewhere: plain, in an address, in JSON, in base64 alone or within something longer."""
    plain = {secret, quote(secret, safe=""), json.dumps(secret)[1:-1]}
    encoded = set()
    for before in range(3):  # bytes of something else before it in a group of three
        text = b64encode(bytes(before) + secret.encode()).rstrip(b"=")
        whole = (before + len(secret)) * 8 // 6
        encoded.add(text[:whole][(0, 2, 3)[before] :])
    in_addresses = {text.translate(bytes.maketrans(b"+/", b"-_")) for text in encoded}
    return {text.encode() for text in plain} | encoded | in_addresses


def secrets_of(home: Home) -> dict[str, set[bytes]]:
    """The spellings of every secret of the sandbox, by its name. The name of an access key is no secret."""
    return {name: spellings(value) for name, value in vars(home.secrets()).items() if name != "aws_access_key_id"}


def leaks(home: Home) -> list[str]:
    """Where a secret stands: in files (logs, objects, records of runs, the warehouse), tables of Airflow, commands."""
    secrets = secrets_of(home)
    return [
        f"{name} in {place}"
        for place, content in _all(home)
        for name, texts in secrets.items()
        if any(text in content for text in texts)
    ]


def places(home: Home, text: str) -> set[str]:
    """Where a text stands that is no secret: what the search for those looks into."""
    return {place for place, content in _all(home) if text.encode() in content}


def assert_no_secret_is_kept(home: Home, batch_id: str) -> None:
    """Logs, SQL, rendered fields, XComs, objects and the rest hold no secret; and that is where the batch stands."""
    searched = places(home, batch_id)
    for place in (
        "airflow/logs/",
        "aws/glue-runs/",
        "aws/s3/",
        "redshift/",
        "table rendered_task_instance_fields of Airflow",
        "table xcom of Airflow",
    ):
        assert any(found.startswith(place) for found in searched), place
    assert leaks(home) == []


def _all(home: Home) -> Iterator[tuple[str, bytes]]:
    yield from _files(home)
    yield from _rows(home)
    yield from _commands(home)


def _files(home: Home) -> Iterator[tuple[str, bytes]]:
    keepers = {home.path / keeper for keeper in KEEPERS}
    for path in home.path.rglob("*"):
        if path.is_file() and not path.is_symlink() and path not in keepers:
            with suppress(FileNotFoundError):  # a running sandbox removes some
                yield str(path.relative_to(home.path)), path.read_bytes()


def _rows(home: Home) -> Iterator[tuple[str, bytes]]:
    """Airflow's tables: rendered fields, XComs, the serialized DAG and all others; values there may span pages."""
    with closing(sqlite3.connect(f"file:{airflow.database(home)}?mode=ro", uri=True)) as connection:
        connection.text_factory = bytes
        tables = [
            name.decode() for (name,) in connection.execute("select name from sqlite_master where type = 'table'")
        ]
        for table in tables:
            for row in connection.execute(f'select * from "{table}"'):
                yield f"table {table} of Airflow", b"\n".join(_text(value) for value in row)


def _text(value: object) -> bytes:
    if isinstance(value, bytes):
        with suppress(zlib.error):
            return zlib.decompress(value)
        return value
    return str(value).encode()


def _commands(home: Home) -> Iterator[tuple[str, bytes]]:
    """Command lines, which every user of the machine can read, of what works for the sandbox."""
    for process in psutil.process_iter(["cmdline"]):
        line = "\0".join(process.info["cmdline"] or [])
        if str(home.path) in line:
            yield f"the command {line[:200]!r}", line.encode()
