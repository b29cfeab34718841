"""dbt's side of the sandbox: its profile, the prebuilt manifest that the DAG is rendered from, and the docs site."""

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
    """Put the repository's example profile where dbt looks for it."""
    profile, wanted = home.dbt / "profiles.yml", (REPOSITORY / "profiles.yml.example").read_text()
    if not profile.exists() or profile.read_text() != wanted:
        write_whole(profile, wanted)


def build_manifest(home: Home, environment: Mapping[str, str], report: Callable[[str], None]) -> None:
    """Parse the dbt project anew if it has changed since the manifest was made; the environment is the DAG's.

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
    # With the arguments of the DAG's dbt tasks: given others, they would parse everything once more.
    run_dbt(["parse", "--profile", PROFILE, "--target", target, "--target-path", str(fresh)], home, environment)
    manifest.parent.mkdir(exist_ok=True)
    for name in (PARTIAL_PARSE, manifest.name):  # moved in whole: the DAG processor and tasks read them at any time
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
    """Give the DAG a project folder with a target/ of its own, which the user's dbt in the repository leaves alone."""
    project = project_path(home)
    project.mkdir(exist_ok=True)
    for source in ("dbt_project.yml", "dbt_project"):
        link = project / source
        if not link.is_symlink():
            link.symlink_to(REPOSITORY / source)


def generate_docs(home: Home, environment: Mapping[str, str]) -> Path:
    """Make the docs site of the project as it stands in the warehouse; returns its folder."""
    site = home.dbt / "docs"
    run_dbt(["docs", "generate", "--target-path", str(site)], home, environment)
    hide_macros_of_the_adapter(site)
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
