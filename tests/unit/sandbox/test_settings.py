"""Addresses, and the variables through which everything learns them."""

import socket
from pathlib import Path

from sandbox.home import REPOSITORY, Home
from sandbox.settings import (
    HOST,
    PREFERRED_PORTS,
    Ports,
    chosen_ports,
    client_variables,
    inherited_environment,
    search_path,
    server_variables,
)


def choose_ports(home: Home, running: set[str]) -> Ports:
    with chosen_ports(home, running) as ports:
        return ports


def test_the_ports_of_last_time_are_kept(tmp_path: Path) -> None:
    home = Home(tmp_path)

    assert choose_ports(home, set()) == choose_ports(home, set())


def test_a_port_that_something_else_holds_is_not_taken(tmp_path: Path) -> None:
    home = Home(tmp_path)
    first = choose_ports(home, set())
    with socket.create_server((HOST, first.redshift)):
        second = choose_ports(home, set())

    assert second.redshift != first.redshift
    assert (second.aws, second.airflow) == (first.aws, first.airflow)


def test_a_port_that_our_own_server_holds_is_kept(tmp_path: Path) -> None:
    home = Home(tmp_path)
    first = choose_ports(home, set())
    with socket.create_server((HOST, first.redshift)):
        assert choose_ports(home, {"redshift"}) == first


def test_two_sandboxes_that_start_at_once_choose_other_ports(tmp_path: Path) -> None:
    with chosen_ports(Home(tmp_path / "one"), set()) as one, chosen_ports(Home(tmp_path / "other"), set()) as other:
        assert not set(vars(one).values()) & set(vars(other).values())


def test_no_two_servers_get_one_port(tmp_path: Path) -> None:
    squatters = []
    for port in PREFERRED_PORTS.values():
        squatter = socket.socket()
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            squatter.bind((HOST, port))
            squatter.listen()
        except OSError:
            squatter.close()  # somebody holds it already, which is as good
        else:
            squatters.append(squatter)
    try:
        ports = vars(choose_ports(Home(tmp_path), set())).values()
    finally:
        for squatter in squatters:
            squatter.close()

    assert len(set(ports)) == len(PREFERRED_PORTS)
    assert not set(ports) & set(PREFERRED_PORTS.values())


def test_servers_learn_nothing_of_the_users_accounts_and_settings() -> None:
    of_the_user = {
        "AWS_PROFILE": "prod",
        "AWS_SESSION_TOKEN": "token",
        "AIRFLOW_HOME": "/home/user/airflow",
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW_CONN_AWS_DEFAULT": "aws://",
        "DBT_TARGET": "prod",
        "REDSHIFT_HOST": "production.example.com",
        "MUSIC_STREAMS_BUCKET": "production",
        "PYTHONPATH": "/somewhere",
        "SPARK_HOME": "/opt/spark",
    }

    kept = inherited_environment({"HOME": "/home/user", "LANG": "C", "PATH": "/bin", **of_the_user})

    assert not set(kept) & set(of_the_user)
    assert (kept["HOME"], kept["LANG"]) == ("/home/user", "C")


def test_a_proxy_is_not_asked_for_this_machine() -> None:
    kept = inherited_environment({"HTTPS_PROXY": "http://proxy", "NO_PROXY": "intranet"})

    assert kept["HTTPS_PROXY"] == "http://proxy"
    assert kept["NO_PROXY"] == "intranet,127.0.0.1,localhost"
    assert kept["no_proxy"] == "127.0.0.1,localhost"


def test_the_virtual_environments_programs_come_first_and_once() -> None:
    programs = str(REPOSITORY / ".venv" / "bin")

    assert search_path("/usr/bin:/bin") == f"{programs}:/usr/bin:/bin"
    assert search_path(search_path("/usr/bin")) == f"{programs}:/usr/bin"


def test_servers_cannot_reach_a_real_account(tmp_path: Path) -> None:
    variables = server_variables(Home(tmp_path), Ports(1, 2, 3))

    assert variables["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
    assert variables["AWS_CONFIG_FILE"] == variables["AWS_SHARED_CREDENTIALS_FILE"] == "/dev/null"
    assert variables["AWS_EC2_METADATA_DISABLED"] == "true"


def test_the_servers_variables_hold_those_of_the_clients(tmp_path: Path) -> None:
    home, ports = Home(tmp_path), Ports(1, 2, 3)

    assert client_variables(home, ports).items() <= server_variables(home, ports).items()
