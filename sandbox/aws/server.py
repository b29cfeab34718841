"""The HTTP server: moto's application with this package's S3 and Glue."""

import logging
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moto.backends import SERVICE_NAMES
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.s3.exceptions import S3ClientError
from werkzeug.exceptions import Forbidden
from werkzeug.serving import BaseWSGIServer, make_server

from sandbox.aws import glue, redshift, redshift_serverless
from sandbox.aws.authorization import Authorizer, Everybody, session_variables
from sandbox.aws.credentials import ACCOUNT_ID, aws_environment
from sandbox.aws.glue_runs import CannotFetchError, GlueRuns, Run
from sandbox.aws.object_store import ObjectStore
from sandbox.aws.s3 import S3
from sandbox.aws.spark_settings import java_home, spark_environment, write_spark_conf

HOST = "127.0.0.1"
PASSED_ON = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "MUSIC_STREAMS_SANDBOX_PROCESS",  # by it `make stop` finds processes that a killed launcher has left
)

# moto's own endpoints to reset it, or to get the key of an instance's role; no policy would apply to them.
NOT_OF_AWS = frozenset({"moto_api", "moto_api._internal", "instance_metadata"})

logger = logging.getLogger(__name__)


class QuietRequestHandler(MotoRequestHandler):
    """Logs only failures of the server, and answers on kept-alive connections without delay."""

    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        if str(code).startswith("5"):
            super().log_request(code, size)


class AwsServer:
    """One process's endpoint: S3 below `home/s3`, Glue runs below `home/glue-runs`.

    With an `authorizer`, Glue runs have the roles of their jobs, and every request is checked; without one, everything
    is allowed.
    """

    def __init__(
        self,
        home: Path,
        port: int,
        seconds_per_minute: float,
        queue_minutes: float,
        authorizer: Authorizer | None = None,
    ) -> None:
        s3 = S3(ObjectStore(home / "s3"))
        s3.install()

        secret = os.environ.get("REDSHIFT_PASSWORD", "")
        if secret:
            redshift.install(secret)
        redshift_serverless.install()

        if authorizer:
            authorizer.install()

        warehouse: dict[str, redshift_serverless.Api] = {
            redshift_serverless.SERVERLESS: redshift_serverless.Serverless(secret),
            redshift_serverless.DATA: redshift_serverless.DataApi(_login(os.environ)),
        }

        def create_app(service: SERVICE_NAMES) -> Any:
            if api := warehouse.get(service):
                return redshift_serverless.application(api, authorizer or Everybody())
            if authorizer and service in NOT_OF_AWS:
                return Forbidden("not a service of AWS")
            return _create_app(service, s3)

        # The server listens, but does not serve yet; the next steps need its port.
        self._http: BaseWSGIServer = make_server(
            HOST, port, DomainDispatcherApplication(create_app), threaded=True, request_handler=QuietRequestHandler
        )
        self.url = f"http://{HOST}:{self._http.port}"

        def fetch(url: str) -> bytes:
            bucket, _, key = url.removeprefix("s3://").partition("/")
            try:
                return s3.read(bucket, key, ACCOUNT_ID)
            except S3ClientError as error:
                raise CannotFetchError(f"Cannot fetch {url}: {error.message}") from error

        java = java_home()
        common = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        common |= {"LANG": "C.UTF-8", "TZ": "UTC", "PYTHONUNBUFFERED": "1"} | aws_environment(self.url, os.environ)

        def environment(run: Run, scratch: Path) -> dict[str, str]:
            # Glue accepts several settings in one value: `a=b --conf c=d`.
            more = run.arguments.get("--conf")
            settings = shlex.split(f"--conf {more}") if more else []
            conf = write_spark_conf(scratch / "spark-conf", scratch)
            variables = common | {"TMPDIR": str(scratch)} | spark_environment(conf, java, settings)
            if authorizer:
                variables |= session_variables(run.job.role, "GlueJobRunnerSession")
            return variables

        self._runs = GlueRuns(home / "glue-runs", fetch, environment, seconds_per_minute, queue_minutes)
        glue.install(self._runs)

    def serve(self) -> None:
        """Answers requests until `stop` is called from another thread."""
        self._http.serve_forever()

    def stop(self) -> None:
        """Ends the job runs, then the server."""
        self._runs.close()
        self._http.shutdown()


def _login(environment: Mapping[str, str]) -> dict[str, Any]:
    """Returns the administrator's login to the sandbox's warehouse, from the environment's variables."""
    return {
        "host": environment.get("REDSHIFT_HOST", HOST),
        "port": int(environment.get("REDSHIFT_PORT", "5439")),
        "database": environment.get("REDSHIFT_DATABASE", "dev"),
        "user": environment.get("REDSHIFT_USER", "sandbox"),
        "password": environment.get("REDSHIFT_PASSWORD", ""),
        "ssl": False,
    }


def _create_app(service: SERVICE_NAMES, s3: S3) -> Any:
    if service == "cloudformation":
        from sandbox.aws import cloudformation  # noqa: PLC0415  it imports most of moto

        cloudformation.install()
    app: Any = create_backend_app(service)
    if service == "s3":
        app.wsgi_app = s3.wrap(app.wsgi_app)
    return app
