"""Start and stop the sandbox. Whatever state it was left in, after a start all requested servers are ready."""

import shutil
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from enum import StrEnum
from functools import cached_property

from sandbox import airflow, dbt_project, dbt_server, idle, machine, warehouse_client
from sandbox.airflow_api import API_SERVER, DAG_PROCESSOR, Client
from sandbox.aws_account import Account
from sandbox.home import REPOSITORY, Home, SandboxError
from sandbox.processes import Processes, Server, python
from sandbox.settings import (
    AIRFLOW_ROLE,
    Ports,
    chosen_ports,
    dag_variables,
    dbt_programs,
    inherited_environment,
    manifest_path,
    server_variables,
)

TOOLS = "tools"  # the folder of uv, which `make clean` keeps


class Part(StrEnum):
    """The parts of the sandbox that a command may need."""

    AWS = "aws"
    REDSHIFT = "redshift"
    AIRFLOW = "airflow"


EVERYTHING = frozenset(Part)


def report(text: str) -> None:
    """Print progress to stderr, since stdout is for the commands' results."""
    print(text, file=sys.stderr, flush=True)


class Sandbox:
    """One sandbox, running or not."""

    def __init__(self, home: Home, report: Callable[[str], None] = report) -> None:
        """Set up a sandbox in `home`; `report` receives the progress messages."""
        self.home = home
        self._report = report
        self.seconds_per_glue_minute = 60.0  # in the timeouts of Glue runs; tests set fewer
        self._inherited = inherited_environment()
        self.processes = Processes(home, self._inherited)

    @property
    def ports(self) -> Ports:
        """The ports on which the servers listen.

        Raises:
            SandboxError: the sandbox was never started.
        """
        ports = self.home.recall("ports")
        if ports is None:
            raise SandboxError("the sandbox has not been started")
        return Ports(**ports)

    @cached_property
    def airflow(self) -> Client:
        """A client of Airflow's REST API."""
        return Client(self.ports.airflow_url, self.home.secrets())

    @cached_property
    def aws(self) -> Account:
        """The AWS account."""
        return Account(self.ports.aws_endpoint, self.home.secrets())

    def start(self, parts: Iterable[Part] = EVERYTHING) -> None:
        """Start servers that are down or out of date, and return once all requested parts are ready.

        Raises:
            SandboxError: the machine has too little disk space or memory; or a server ended or did not become ready,
                and the message holds the end of its log.
        """
        wanted = set(parts)
        if down := wanted.difference(self._listening()):
            machine.check_disk(self.home.path)
            if Part.AIRFLOW in down:
                machine.check_memory()
        with self._lock(), chosen_ports(self.home, self._listening()) as ports:
            idle.note_use(self.home)
            for address in ("airflow", "aws"):  # their ports may have changed
                self.__dict__.pop(address, None)
            servers = [server for part, server in self._base_servers(ports).items() if part in wanted]
            started = self.processes.start(servers)
            if Part.AIRFLOW in wanted:
                started += self._start_airflow(ports)
            if started:
                self._report(f"Starting {', '.join(server.name for server in started)} (logs: {self.home.logs})")
            self.processes.wait(servers, started, self._announce)
            if Part.AWS in wanted:
                self.aws.provision()
            if Part.REDSHIFT in {server.name for server in started}:
                warehouse_client.limit_sessions(self.home, ports)
            if Part.AIRFLOW in wanted:
                self.processes.wait(self._airflow_servers(ports), started, self._announce)
                self._render_dag(freshly_parsed=any(server.name == DAG_PROCESSOR for server in started))
            self._stop_when_idle()

    def _stop_when_idle(self) -> None:
        """If the sandbox is to stop by itself, start the process that watches for use; otherwise stop that process."""
        if idle_minutes := idle.minutes_until_stop():
            self.processes.start([idle.server(self.home, idle_minutes, {"PYTHONPATH": str(REPOSITORY)})])
        elif idle.NAME in self.processes.running():
            self.processes.stop([idle.NAME])
        idle.note_use(self.home)  # a start may take minutes

    def check(self) -> None:
        """Check that all started servers are running and that the disk has room.

        Raises:
            SandboxError: a server has ended, or the disk is full.
        """
        machine.check_disk(self.home.path, while_running=True)
        self.processes.check()

    def stop(self) -> None:
        """End all processes of the sandbox."""
        with self._lock():
            self.processes.stop()

    def clean(self) -> None:
        """End all processes and forget all contents."""
        with self._lock():
            self.processes.stop()
            for entry in self.home.path.iterdir():
                if entry.name in {TOOLS, "locks"}:
                    continue
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()

    def environment(self) -> dict[str, str]:
        """Return the environment of a program that uses the sandbox, such as dbt."""
        return self._inherited | server_variables(self.home, self.ports)

    def _lock(self) -> AbstractContextManager[None]:
        return self.home.locked(
            "lifecycle", lambda: self._report("Another command starts or stops the sandbox: waiting")
        )

    def _listening(self) -> set[str]:
        names = {API_SERVER: "airflow"}
        return {names.get(name, name) for name in self.processes.running()}

    def _announce(self, name: str, seconds: float) -> None:
        self._report(f"  {name} is ready after {seconds:.1f} s")

    def _base_servers(self, ports: Ports) -> dict[Part, Server]:
        variables, secrets = server_variables(self.home, ports), self.home.secrets()

        def server(part: Part, port: int, check: Callable[[], None], *options: str) -> Server:
            folder = self.home.folder(part)
            return Server(
                name=part,
                command=python("-m", f"sandbox.{part}", "--home", str(folder), "--port", str(port), *options),
                environment=variables,
                check=lambda _started: check(),
                port=port,
                sources=[REPOSITORY / "sandbox" / part, REPOSITORY / "uv.lock"],
                working_directory=REPOSITORY,
            )

        return {
            Part.REDSHIFT: server(Part.REDSHIFT, ports.redshift, lambda: warehouse_client.check(self.home, ports)),
            Part.AWS: server(
                Part.AWS,
                ports.aws,
                self.aws.check,
                f"--seconds-per-minute={self.seconds_per_glue_minute:g}",
                f"--administrator={secrets.aws_access_key_id}",
                f"--role-session={secrets.airflow_access_key_id}={AIRFLOW_ROLE}",
            ),
        }

    def _airflow_variables(self, ports: Ports) -> dict[str, str]:
        return dag_variables(self.home, ports) | airflow.variables(self.home, ports)

    def _airflow_servers(self, ports: Ports) -> list[Server]:
        variables = self._airflow_variables(ports)
        first = dbt_project.first_command(self.home, variables)
        of_dbt = dbt_server.server(dbt_programs(self.home), variables, first)
        return [*airflow.servers(self.home, ports, variables), of_dbt]

    def _start_airflow(self, ports: Ports) -> list[Server]:
        servers = self._airflow_servers(ports)
        variables = self._inherited | self._airflow_variables(ports)
        dbt_project.write_profile(self.home)
        dbt_server.write_program(self.home.folder("dbt/bin"))
        with ThreadPoolExecutor() as pool:
            manifest = pool.submit(dbt_project.build_manifest, self.home, variables, self._report)
            if not all(self.processes.up_to_date(server) for server in servers):
                airflow.prepare_database(self.home, variables)
            manifest.result()
        return self.processes.start(servers)

    def _render_dag(self, *, freshly_parsed: bool) -> None:
        source = dbt_project.fingerprint([REPOSITORY / "dags", manifest_path(self.home)])
        if self.home.recall("rendered-dag") != source:
            if not freshly_parsed:
                self.airflow.reparse()
            self.home.remember("rendered-dag", source)
