"""The sandbox's folder: `.sandbox/` in the repository, or the one that MUSIC_STREAMS_SANDBOX_HOME names."""

import fcntl
import hmac
import json
import os
import secrets
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
VARIABLE = "MUSIC_STREAMS_SANDBOX_HOME"


class SandboxError(Exception):
    """An error for the user: the problem, the place and the remedy."""


@dataclass(frozen=True)
class Secrets:
    """Credentials generated for one sandbox; they are of no use elsewhere."""

    redshift_password: str
    aws_access_key_id: str
    aws_secret_access_key: str
    airflow_password: str
    airflow_jwt_secret: str
    airflow_secret_key: str
    airflow_fernet_key: str

    @property
    def airflow_access_key_id(self) -> str:
        """The access key id of the session by which Airflow has its role."""
        return "ASIA" + self._derived("airflow")[:16].upper()

    @property
    def airflow_secret_access_key(self) -> str:
        """The secret key of that session."""
        return self._derived("airflow's key")

    def _derived(self, purpose: str) -> str:
        return hmac.new(self.aws_secret_access_key.encode(), purpose.encode(), "sha256").hexdigest()

    @classmethod
    def generate(cls) -> "Secrets":
        """Generate new credentials."""
        return cls(
            redshift_password=secrets.token_urlsafe(18),
            aws_access_key_id="AKIA" + secrets.token_hex(8).upper(),
            aws_secret_access_key=secrets.token_urlsafe(30),
            airflow_password=secrets.token_urlsafe(12),
            airflow_jwt_secret=secrets.token_hex(32),
            airflow_secret_key=secrets.token_hex(32),
            airflow_fernet_key=urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        )


@dataclass(frozen=True)
class Home:
    """The sandbox's folder."""

    path: Path

    @classmethod
    def from_environment(cls) -> "Home":
        """Return the folder that the environment names, or the repository's."""
        return cls(Path(os.environ.get(VARIABLE) or REPOSITORY / ".sandbox").expanduser().resolve())

    def folder(self, name: str) -> Path:
        """Return a folder in the home, and make it if it is missing."""
        folder = self.path / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def logs(self) -> Path:
        """The folder of the servers' logs, one per server."""
        return self.folder("logs")

    @property
    def redshift(self) -> Path:
        """The folder of the warehouse's files."""
        return self.folder("redshift")

    @property
    def aws(self) -> Path:
        """The folder of S3's objects and of the logs of Glue runs."""
        return self.folder("aws")

    @property
    def airflow(self) -> Path:
        """AIRFLOW_HOME: the folder of the metadata database and of the tasks' logs."""
        return self.folder("airflow")

    @property
    def dags(self) -> Path:
        """The folder of the user's own DAGs, which Airflow runs beside the pipeline's."""
        return self.folder("dags")

    @property
    def dbt(self) -> Path:
        """The folder of dbt's profile and prebuilt manifest."""
        return self.folder("dbt")

    def secrets(self) -> Secrets:
        """Return the sandbox's credentials; the first call generates them."""
        file = self.path / "secrets.json"
        if not file.exists():
            self.path.mkdir(parents=True, exist_ok=True)
            write_whole(file, json.dumps(vars(Secrets.generate()), indent=1))
        return Secrets(**json.loads(file.read_text()))

    def remember(self, name: str, value: Any) -> None:
        """Store a JSON value under a name."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(self.path / f"{name}.json", json.dumps(value, indent=1))

    def forget(self, name: str) -> None:
        """Delete the value stored under a name."""
        (self.path / f"{name}.json").unlink(missing_ok=True)

    def recall(self, name: str) -> Any:
        """Return the value stored under a name; None if there is none."""
        file = self.path / f"{name}.json"
        return json.loads(file.read_text()) if file.exists() else None

    @contextmanager
    def locked(self, name: str, on_wait: Callable[[], None]) -> Iterator[None]:
        """Hold the named lock; if another process holds it, call `on_wait` and wait for that process.

        The kernel releases the lock when its holder ends, even if it was killed.
        """
        with (self.folder("locks") / name).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def write_whole(file: Path, text: str) -> None:
    """Atomically write a file that only its owner can read: readers see the old or the new content, never a part."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    with os.fdopen(handle, "w") as stream:
        stream.write(text)
    Path(name).replace(file)
