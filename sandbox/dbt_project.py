"""dbt's side of the sandbox: its profile, the prebuilt manifest that the DAG is rendered from, and the docs site."""

import hashlib
import subprocess
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path

from sandbox.home import REPOSITORY, Home, SandboxError, write_whole
from sandbox.settings import DBT_TARGET, VIRTUAL_ENVIRONMENT, manifest_path

PROGRAM = str(VIRTUAL_ENVIRONMENT / "bin" / "dbt")
PROFILE = "music_streams"
PARSE_SECONDS = 300
SOURCES = [REPOSITORY / "dbt_project.yml", REPOSITORY / "dbt_project", REPOSITORY / "profiles.yml.example"]


def write_profile(home: Home) -> None:
    """Put the repository's example profile where dbt looks for it."""
    profile, wanted = home.dbt / "profiles.yml", (REPOSITORY / "profiles.yml.example").read_text()
    if not profile.exists() or profile.read_text() != wanted:
        write_whole(profile, wanted)


def build_manifest(home: Home, environment: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Parse the dbt project anew if it has changed since the manifest was made.

    Raises:
        SandboxError: dbt finds an error in the project.
    """
    wanted = fingerprint(SOURCES) + DBT_TARGET + version("dbt-core")
    manifest = manifest_path(home)
    if manifest.exists() and home.recall("dbt-manifest") == wanted:
        return
    say("Parsing the dbt project")
    # Into target/, where the DAG's dbt tasks take up what is parsed already: when they have the same arguments.
    run_dbt(["parse", "--profile", PROFILE, "--target", DBT_TARGET], home, environment)
    manifest.parent.mkdir(exist_ok=True)
    # A copy, put in place whole: the DAG processor reads it at any time, and dbt rewrites its own.
    write_whole(manifest, (REPOSITORY / "target" / manifest.name).read_text())
    home.remember("dbt-manifest", wanted)


def generate_docs(home: Home, environment: Mapping[str, str]) -> Path:
    """Make the docs site of the project as it stands in the warehouse; returns its folder."""
    site = home.dbt / "docs"
    run_dbt(["docs", "generate", "--target-path", str(site)], home, environment)
    return site


def run_dbt(arguments: list[str], home: Home, environment: Mapping[str, str]) -> None:
    """Run dbt in the repository.

    Raises:
        SandboxError: it failed; the message holds what it said.
    """
    command = [PROGRAM, "--no-use-colors", "--log-path", str(home.dbt / "logs"), *arguments]
    try:
        result = subprocess.run(
            command,
            env=dict(environment),
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=PARSE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SandboxError(f"`dbt {arguments[0]}` took more than {PARSE_SECONDS} s") from error
    if result.returncode != 0:
        raise SandboxError(f"`dbt {arguments[0]}` failed:\n{result.stdout}{result.stderr}")


def fingerprint(paths: Iterable[Path]) -> str:
    """Differs when a file in one of the folders, or one of the files, is another."""
    digest = hashlib.sha256()
    for path in paths:
        files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
        for file in files:
            if file.suffix != ".pyc":
                digest.update(str(file).encode() + file.read_bytes())
    return digest.hexdigest()
