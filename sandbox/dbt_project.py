"""Set up dbt in the sandbox: its profile, the prebuilt manifest from which the DAG is rendered, and the docs site."""

import hashlib
import subprocess
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path

from music_streams.docs_page import hide_macros_of_the_adapter

from contract import variables
from sandbox.home import REPOSITORY, Home, SandboxError, write_whole
from sandbox.settings import VIRTUAL_ENVIRONMENT, manifest_path, project_path

PROGRAM = str(VIRTUAL_ENVIRONMENT / "bin" / "dbt")
PROFILE = "music_streams"
PARTIAL_PARSE = "partial_parse.msgpack"
PARSE_SECONDS = 300
SOURCES = [REPOSITORY / "dbt_project.yml", REPOSITORY / "dbt_project", REPOSITORY / "profiles.yml.example"]


def write_profile(home: Home) -> None:
    """Copy the repository's example profile to the folder in which dbt looks for it."""
    profile, wanted = home.dbt / "profiles.yml", (REPOSITORY / "profiles.yml.example").read_text()
    if not profile.exists() or profile.read_text() != wanted:
        write_whole(profile, wanted)


def build_manifest(home: Home, environment: Mapping[str, str], report: Callable[[str], None]) -> None:
    """Parse the dbt project again if it has changed since the manifest was made; the environment is the DAG's.

    Raises:
        SandboxError: dbt finds an error in the project.
    """
    link_project(home)
    target = variables.DBT_TARGET.value(environment)
    wanted = fingerprint(SOURCES) + target + version("dbt-core") + variables.REDSHIFT_PORT.value(environment)
    manifest = manifest_path(home)
    if manifest.exists() and home.recall("dbt-manifest") == wanted:
        return
    report("Parsing the dbt project")
    fresh = home.dbt / "parsed"
    # The arguments are those of the DAG's dbt tasks; after a parse with others, the tasks would parse everything again.
    run_dbt(["parse", "--profile", PROFILE, "--target", target, "--target-path", str(fresh)], home, environment)
    manifest.parent.mkdir(exist_ok=True)
    for name in (PARTIAL_PARSE, manifest.name):  # moved atomically, since Airflow may read them at any time
        (fresh / name).replace(manifest.with_name(name))
    home.remember("dbt-manifest", wanted)


def first_command(home: Home, environment: Mapping[str, str]) -> list[str]:
    """The first command of dbt's server: it reads the parsed project as the DAG's tasks do, and writes elsewhere."""
    options = {
        "--project-dir": project_path(home),
        "--profile": PROFILE,
        "--target": variables.DBT_TARGET.value(environment),
        "--target-path": home.dbt / "first",
        "--partial-parse-file-path": manifest_path(home).with_name(PARTIAL_PARSE),
        "--log-path": home.dbt / "logs",
    }
    return ["parse", "--quiet", "--no-write-json", *(str(word) for option in options.items() for word in option)]


def link_project(home: Home) -> None:
    """Give the DAG a project folder with its own target/, which the user's dbt in the repository does not change."""
    project = project_path(home)
    project.mkdir(exist_ok=True)
    for source in ("dbt_project.yml", "dbt_project"):
        link = project / source
        if not link.is_symlink():
            link.symlink_to(REPOSITORY / source)


def generate_docs(home: Home, environment: Mapping[str, str]) -> Path:
    """Generate the docs site from the project and the current warehouse; return its folder."""
    site = home.dbt / "docs"
    run_dbt(["docs", "generate", "--target-path", str(site)], home, environment)
    hide_macros_of_the_adapter(site)
    return site


def run_dbt(arguments: list[str], home: Home, environment: Mapping[str, str]) -> None:
    """Run dbt in the repository.

    Raises:
        SandboxError: dbt failed; the message holds its output.
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
    """Return a digest of files, and of all files in folders, which changes if one of them changes."""
    digest = hashlib.sha256()
    for path in paths:
        files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
        for file in files:
            if file.suffix != ".pyc":
                digest.update(str(file).encode() + file.read_bytes())
    return digest.hexdigest()
