"""The sandbox's warehouse: starts and stops PostgreSQL and the gateway in front of it together."""

import fcntl
import threading
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import boto3
import redshift_connector
from redshift_connector.core import Connection

from sandbox.redshift.copy_load import load
from sandbox.redshift.errors import WarehouseError
from sandbox.redshift.gateway import Gateway
from sandbox.redshift.postgres import DATABASE, USER, Postgres
from sandbox.redshift.statement_log import StatementLog
from sandbox.redshift.tls import server_context

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class Warehouse:
    """A Redshift for one machine: on 127.0.0.1, with user `sandbox`, database `dev`, and its data below `home`.

    COPY reads S3 with boto3, configured by the environment (AWS_ENDPOINT_URL, …), as the role that the COPY names.
    Clients may use TLS; with SSL_CERT_FILE=`certificate_authority` they can verify the server.
    """

    def __init__(self, home: Path, port: int, password: str, schema_prefix: str = "") -> None:
        """`port` 0 means a free one; reporting and staging schemas with `schema_prefix` are on the search path."""
        self.home = home.resolve()
        self.port = port
        self._password = password
        self._search_path = ["public"] + [
            f"{schema_prefix}_{layer}" if schema_prefix else layer for layer in ("reporting", "staging")
        ]
        self._postgres = Postgres(self.home)
        self._started = ExitStack()

    @property
    def statements(self) -> Path:
        """The file of JSON lines with every statement since the last start, see `StatementLog`."""
        return self.home / "statements.jsonl"

    @property
    def certificate_authority(self) -> Path:
        """The certificate of the authority that signed the server's, new at every start."""
        return self.home / "ca.pem"

    def start(self) -> Self:
        """Starts the warehouse, and returns once a login has succeeded.

        Raises:
            WarehouseError: the port or `home` is in use, or PostgreSQL cannot run here.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        with ExitStack() as started:
            lock = started.enter_context((self.home / "lock").open("w"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise WarehouseError(f"another warehouse runs on {self.home}: stop it first") from error
            copy = partial(load, _s3_as)
            tls = server_context(self.certificate_authority)
            log = started.enter_context(closing(StatementLog(self.statements)))
            try:
                gateway = started.enter_context(
                    Gateway(self.port, self._postgres.connect, copy, log, tls=tls, secret=self._password)
                )
            except OSError as error:
                raise WarehouseError(f"127.0.0.1:{self.port} cannot be used: {error.strerror}") from error
            self.port = gateway.server_address[1]
            started.callback(self._postgres.stop)
            self._postgres.start(self._password, self._search_path)
            gateway.server_activate()
            threading.Thread(target=gateway.serve_forever, name="gateway", daemon=True).start()
            started.callback(gateway.shutdown)
            self.connect().close()
            self._started = started.pop_all()
        return self

    def connect(self) -> Connection:
        """Opens a session of the user `sandbox`."""
        return redshift_connector.connect(
            host="127.0.0.1",
            port=self.port,
            database=DATABASE,
            user=USER,
            password=self._password,
            ssl=False,
            application_name="sandbox",  # otherwise the driver searches the whole call stack for the caller's name
        )

    def check(self) -> None:
        """Checks that the warehouse is running.

        Raises:
            WarehouseError: PostgreSQL has stopped by itself.
        """
        self._postgres.check()

    def stop(self) -> None:
        """Ends all sessions, the gateway and PostgreSQL."""
        self._started.close()

    def __enter__(self) -> Self:
        """Starts the warehouse."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stops the warehouse."""
        self.stop()


def _s3_as(role: str | None) -> "S3Client":
    """Returns a client of S3 that works as the role; without a role, as the user who started the warehouse."""
    if role is None:
        return boto3.client("s3")
    session = boto3.client("sts").assume_role(RoleArn=role, RoleSessionName="copy")["Credentials"]
    return boto3.client(
        "s3",
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
    )
