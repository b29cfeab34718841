"""TLS, and logins with the temporary passwords of AWS identities."""

import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import redshift_connector
from redshift_connector.error import InterfaceError, ProgrammingError

from sandbox.redshift.temporary_passwords import temporary_password
from sandbox.redshift.tls import server_context
from sandbox.redshift.warehouse import Warehouse
from tests.integration.sandbox.redshift.client import run
from tests.integration.sandbox.redshift.conftest import PASSWORD, Lake

SSL_REQUEST, GSS_REQUEST, STARTUP = 80877103, 80877104, 196608
SOON = datetime.now(UTC) + timedelta(hours=1)
PAST = datetime.now(UTC) - timedelta(minutes=1)

Connect = Callable[..., Any]


@pytest.fixture
def connect(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Opens sessions over TLS as redshift_connector does, which trusts the authority of SSL_CERT_FILE."""
    monkeypatch.setenv("SSL_CERT_FILE", str(warehouse.certificate_authority))
    opened = []

    def open_one(user: str = "sandbox", password: str = PASSWORD, **options: Any) -> Any:
        settings: dict[str, Any] = {"host": "127.0.0.1", "database": "dev", "sslmode": "verify-full"} | options
        session = redshift_connector.connect(user=user, password=password, port=warehouse.port, **settings)
        session.autocommit = True
        opened.append(session)
        return session

    yield open_one
    for session in opened:
        session.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("sslmode", ["verify-full", "verify-ca"])
def test_a_session_over_verified_tls(connect: Connect, host: str, sslmode: str) -> None:
    session = connect(host=host, sslmode=sslmode)

    assert run(session, "select 1") == [(1,)]
    assert session._usock.version() == "TLSv1.3"


def test_much_goes_over_tls_in_both_directions(connect: Connect, schema: str, lake: Lake) -> None:
    session = connect()
    rows = 200_000
    url = lake.put("many.csv", b"".join(b"%d\n" % number for number in range(rows)))
    run(session, f"create table {schema}.many (i int)")
    run(session, f"copy {schema}.many from '{url}' iam_role default format csv")

    assert [i for (i,) in run(session, f"select i from {schema}.many order by i")] == list(range(rows))
    assert run(session, f"select length('{'x' * 1_000_000}')") == [(1_000_000,)]


def test_a_client_that_vanishes_from_tls_leaves_no_session(connect: Connect) -> None:
    session = connect()
    (backend,) = run(session, "select pg_backend_pid()")[0]
    process = psutil.Process(backend)
    session._usock.shutdown(socket.SHUT_RDWR)
    process.wait(30)


def test_a_server_that_another_authority_vouches_for_is_not_trusted(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server_context(tmp_path / "another.pem")  # of the same name, but with another key
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "another.pem"))

    with pytest.raises(InterfaceError, match="certificate verify failed"):
        connect()


def test_a_certificate_is_for_its_own_hosts_only(warehouse: Warehouse) -> None:
    with socket.create_connection(("127.0.0.1", warehouse.port), timeout=30) as client:
        client.sendall(struct.pack("!ii", 8, SSL_REQUEST))
        assert client.recv(1) == b"S"
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            _trusting(warehouse).wrap_socket(client, server_hostname="redshift.example.com")


def test_what_is_sent_in_the_clear_before_tls_is_not_read_as_if_it_were_encrypted(warehouse: Warehouse) -> None:
    parameters = b"user\0sandbox\0database\0dev\0\0"
    early = struct.pack("!ii", len(parameters) + 8, STARTUP) + parameters
    with socket.create_connection(("127.0.0.1", warehouse.port), timeout=30) as client:
        client.sendall(struct.pack("!ii", 8, SSL_REQUEST) + early)
        assert client.recv(1) == b"S"
        session = _trusting(warehouse).wrap_socket(client, server_hostname="localhost")
        session.sendall(struct.pack("!ii", 8, SSL_REQUEST))
        assert session.recv(1) == b"N"  # and no question for a password


def test_kerberos_is_declined_and_tls_within_tls_too(warehouse: Warehouse) -> None:
    with socket.create_connection(("127.0.0.1", warehouse.port), timeout=30) as client:
        client.sendall(struct.pack("!ii", 8, GSS_REQUEST))
        assert client.recv(1) == b"N"
        client.sendall(struct.pack("!ii", 8, SSL_REQUEST))
        assert client.recv(1) == b"S"
        with _trusting(warehouse).wrap_socket(client, server_hostname="localhost") as session:
            session.sendall(struct.pack("!ii", 8, SSL_REQUEST))
            assert session.recv(1) == b"N"


def _trusting(warehouse: Warehouse) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=warehouse.certificate_authority)


@pytest.mark.parametrize("user", ["IAM:anna", "IAMA:anna", "IAMR:role/of the DAG"])
def test_an_aws_identity_logs_in_with_the_password_that_aws_handed_out(connect: Connect, user: str) -> None:
    session = connect(user, temporary_password(user, SOON, PASSWORD))

    assert run(session, "select 1") == [(1,)]


@pytest.mark.parametrize(
    ("password", "complaint"),
    [
        pytest.param(temporary_password("IAM:anna", PAST, PASSWORD), "expired at", id="expired"),
        pytest.param(temporary_password("IAM:bob", SOON, PASSWORD), "authentication failed", id="another's"),
        pytest.param(temporary_password("IAM:anna", SOON, "guess"), "authentication failed", id="another warehouse's"),
        pytest.param(
            f"9{temporary_password('IAM:anna', PAST, PASSWORD)}", "authentication failed", id="expired, made longer"
        ),
        pytest.param(PASSWORD, "authentication failed", id="the database user's"),
        pytest.param("", "authentication failed", id="none"),
        pytest.param("é.é", "authentication failed", id="garbage"),
    ],
)
def test_no_other_password_lets_an_aws_identity_in(connect: Connect, password: str, complaint: str) -> None:
    with pytest.raises((ProgrammingError, InterfaceError)) as failure:
        connect("IAM:anna", password)
    assert complaint in failure.value.args[0]["M"]
    assert 'user "IAM:anna"' in failure.value.args[0]["M"]


def test_a_temporary_password_is_not_taken_in_the_clear(connect: Connect) -> None:
    with pytest.raises((ProgrammingError, InterfaceError)) as failure:
        connect("IAM:anna", temporary_password("IAM:anna", SOON, PASSWORD), ssl=False)
    assert 'user "IAM:anna" must connect with TLS (sslmode verify-full)' in failure.value.args[0]["M"]


def test_a_temporary_password_is_for_its_identity_alone(connect: Connect) -> None:
    with pytest.raises((ProgrammingError, InterfaceError)) as failure:
        connect("sandbox", temporary_password("sandbox", SOON, PASSWORD))
    assert failure.value.args[0]["C"] == "28P01"
