"""Runs the AWS endpoint as a child process, for tests and for programs that start the sandbox."""

import subprocess
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Self

import boto3

from sandbox.aws.credentials import aws_environment

REPOSITORY = Path(__file__).parents[2]


class AwsEndpoint:
    """`python -m sandbox.aws` on this machine.

    Args:
        home: The folder of all persistent data; a later endpoint on the same folder has the same objects.
        port: The port on 127.0.0.1; 0 chooses a free one. `url` is known after `start`.
        options: More options of the command line, such as `seconds_per_minute=1`.
    """

    def __init__(self, home: Path, port: int = 0, **options: float | str) -> None:
        self.home = home
        self.port = port
        self._options = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        self.process: subprocess.Popen[str] | None = None
        self.url = ""
        self._one_client_at_a_time = Lock()  # threads may share clients, but not the session that makes them

    def start(self) -> Self:
        """Returns once the endpoint answers; its log is `home/aws.log`. Raises `ChildProcessError` if it ends."""
        self.home.mkdir(parents=True, exist_ok=True)
        log = self.home / "aws.log"
        command = [sys.executable, "-m", "sandbox.aws", f"--home={self.home.absolute()}", f"--port={self.port}"]
        with log.open("ab") as err:
            self.process = subprocess.Popen(
                command + self._options, stdout=subprocess.PIPE, stderr=err, text=True, cwd=REPOSITORY
            )
        assert self.process.stdout
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            status = self.process.wait()
            raise ChildProcessError(f"The AWS endpoint ended with status {status}:\n{log.read_text()[-2000:]}")
        return self

    def stop(self) -> None:
        """Ends the endpoint and the job runs that it started."""
        if self.process:
            self.process.terminate()
            self._wait()

    def kill(self) -> None:
        """Kills the endpoint, as in a crash."""
        if self.process:
            self.process.kill()
            self._wait()

    def environment(self) -> dict[str, str]:
        """Returns the AWS_… variables of a process that uses the endpoint."""
        return aws_environment(self.url)

    def client(self, service: str, **options: Any) -> Any:
        """Returns a boto3 client of the endpoint."""
        create_client: Callable[..., Any] = self._session.client  # the service's name is not literal here
        with self._one_client_at_a_time:
            return create_client(service, endpoint_url=self.url, **options)

    @cached_property
    def _session(self) -> boto3.Session:
        """The session of all clients; another one would read botocore's models of a service again (0.1 s or more)."""
        variables = self.environment()
        return boto3.Session(
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
            region_name=variables["AWS_REGION"],
        )

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _wait(self) -> None:
        assert self.process
        assert self.process.stdout
        self.process.wait()
        self.process.stdout.close()
        self.process = None
