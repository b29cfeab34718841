"""What is uploaded for MWAA: whole, free of this machine, the same at each build. The start-up script fails loudly."""

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from contract import variables
from infra import bundle

# A sandbox's, or a developer's: nothing of it may get into the bundle.
FOREIGN = {
    "MUSIC_STREAMS_SCHEMA_PREFIX": "dev_anna",
    "MUSIC_STREAMS_READER": "role:analysts",
    "DBT_TARGET": "sandbox",
    "DBT_PROFILES_DIR": "/nowhere",
    "DBT_TARGET_PATH": "/nowhere",
    "DBT_ENV_CUSTOM_ENV_WHO": "anna",
    "REDSHIFT_HOST": "foreign.example.com",
}
VARIABLES = {name: f"the {name}" for name in bundle.VARIABLES}
NASTY = {
    "SPACES": "  two  and\ttab ",
    "QUOTES": """'single' "double" `id` $(id) $HOME ${HOME} \\ \\n !! """,
    "LINES": "one\ntwo\n",
    "END_OF_THE_LIST": "\nEND\n",
    "EMPTY": "",
    "NOT_ASCII": "Zürich 日本 🎧",
    "LIKE_OPTIONS": "-n --help; exit 1 & | > /dev/null #",
}

# Stands for python3 and for the one of dbt's environment, which knows `-m venv`, `-m pip install` and `-m pip check`.
FAILING_PIP = """#!{programs}/bash
case "$*" in
"-m venv "*)
    {programs}/mkdir -p "$3/bin"
    {programs}/ln -s {programs}/python3 "$3/bin/python"
    ;;
"-m pip install "*)
    echo install >>{calls}
    [ $({programs}/wc -l <{calls}) -gt {times} ]
    ;;
esac
"""


@pytest.fixture(scope="module")
def dags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "dags"
    bundle.build_dags(folder)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def tracked(*folders: str) -> set[str]:
    command = ["git", "ls-files", "--", *folders]
    return set(subprocess.check_output(command, cwd=bundle.REPOSITORY, text=True).splitlines())


def test_the_folder_is_laid_out_as_mwaa_wants_it(dags: Path) -> None:
    assert {path.name for path in dags.iterdir()} == {
        ".airflowignore",
        "data_validation_and_kpi_computation.py",
        "dbt",
        "contract",
        "expectations",
        "report",
        "music_streams",
    }
    assert {str(path.relative_to(dags)) for path in (dags / "dbt").iterdir() if path.is_file()} == {
        "dbt/dbt_project.yml",
        "dbt/profiles.yml",
    }
    assert [path.name for path in (dags / "dbt" / "target").iterdir()] == ["manifest.json"]


def test_it_holds_all_sources_and_nothing_but_sources(dags: Path) -> None:
    found = set(content(dags))
    sources = {name.removeprefix("dags/") for name in tracked("dags", "contract", "expectations", "report")}
    sources |= {f"dbt/{name}" for name in tracked("dbt_project", "dbt_project.yml")}
    assert sources <= found
    others = {".airflowignore", "dbt/profiles.yml", "dbt/target/manifest.json"}
    # What is not tracked yet is a source all the same; a cache or a copy that an editor keeps is none.
    assert {Path(name).suffix for name in found - others} == {
        *(".css", ".html", ".j2", ".js"),
        *(".md", ".py", ".sql", ".yml"),
    }
    assert not [name for name in found - others if Path(name).name.startswith(".")]


def test_dbts_project_needs_no_packages_that_the_bundle_would_have_to_bring() -> None:
    assert not [name for name in ("packages.yml", "dependencies.yml") if (bundle.REPOSITORY / name).exists()]


def test_building_again_elsewhere_gives_the_same_bytes(
    dags: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**FOREIGN, "PYTHONHASHSEED": "7", "TZ": "America/St_Johns"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(bundle, "MANIFESTS", tmp_path / "kept")  # it keeps none, so dbt parses again
    bundle.build_dags(tmp_path / "again")
    assert content(tmp_path / "again") == content(dags)


def test_dbt_parses_the_project_again_only_after_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []

    def parse(project: Path) -> dict[str, object]:
        parsed.append(project.parent.name)
        return {}

    monkeypatch.setattr(bundle, "parse", parse)
    monkeypatch.setattr(bundle, "MANIFESTS", tmp_path / "kept")
    bundle.build_dags(tmp_path / "first")
    bundle.build_dags(tmp_path / "same")
    assert parsed == ["first"]
    assert content(tmp_path / "same") == content(tmp_path / "first")

    changed = tmp_path / "changed"
    changed.mkdir()
    for unchanged in ("dags", "contract", "expectations", "report", "dbt_project.yml", "profiles.yml.example"):
        (changed / unchanged).symlink_to(bundle.REPOSITORY / unchanged)
    shutil.copytree(bundle.REPOSITORY / "dbt_project", changed / "dbt_project")
    with (changed / "dbt_project" / "models" / "marts" / "hourly_kpis.sql").open("a") as model:
        model.write("-- changed\n")
    monkeypatch.setattr(bundle, "REPOSITORY", changed)
    bundle.build_dags(tmp_path / "other")
    assert parsed == ["first", "other"]

    packages = [SimpleNamespace(name="dbt-adapters", version="0.0.1")]
    monkeypatch.setattr(bundle, "distributions", lambda: packages)
    bundle.build_dags(tmp_path / "of other packages")
    assert parsed == ["first", "other", "of other packages"]


def test_nothing_in_it_tells_of_this_machine(dags: Path) -> None:
    places = [str(place).encode() for place in (dags, bundle.REPOSITORY, Path.home(), tempfile.gettempdir())]
    for name, text in content(dags).items():
        assert not [place for place in places if place in text], name


def test_a_folder_that_holds_something_is_not_mixed_with_a_bundle(dags: Path) -> None:
    with pytest.raises(bundle.BundleError, match="is not empty"):
        bundle.build_dags(dags)


def test_a_project_that_dbt_cannot_parse_is_not_deployed(dags: Path, tmp_path: Path) -> None:
    project = shutil.copytree(dags / "dbt", tmp_path / "dbt")
    (project / "dbt_project" / "models" / "marts" / "hourly_kpis.sql").write_text("select * from {{ ref('nothing') }}")
    with pytest.raises(bundle.BundleError, match="depends on a node named 'nothing' which was not found"):
        bundle.parse(project)


def test_airflow_looks_for_dags_in_the_dag_file_only(dags: Path) -> None:
    from airflow.utils.file import list_py_file_paths  # noqa: PLC0415

    import tests.unit.dags.airflow_home  # noqa: F401, PLC0415

    assert list_py_file_paths(dags, safe_mode=False) == [str(dags / "data_validation_and_kpi_computation.py")]


def source(folder: Path, script: str, component: str) -> tuple[int, dict[str, str], str]:
    """Exit status, variables and what was said when bash sources the script as MWAA does, where there is no Python."""
    (folder / "startup.sh").write_text(script)
    (folder / "programs").mkdir(exist_ok=True)
    for program in ("cat", "cmp", "rm", "env"):
        (folder / "programs" / program).unlink(missing_ok=True)
        (folder / "programs" / program).symlink_to(str(shutil.which(program)))
    before_and_after = 'before=$(set +o); source ./startup.sh; [ "$before" = "$(set +o)" ] && env -0 >variables'
    environment = {
        "PATH": str(folder / "programs"),
        "AIRFLOW_HOME": str(folder / "air flow"),
        "MWAA_AIRFLOW_COMPONENT": component,
    }
    (folder / "air flow").mkdir(exist_ok=True)
    command = [str(shutil.which("bash")), "-c", before_and_after]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    variables = (folder / "variables").read_bytes().decode().split("\0")[:-1] if result.returncode == 0 else []
    return result.returncode, dict(line.split("=", 1) for line in variables), result.stderr


def sourced(folder: Path, variables: Mapping[str, str]) -> dict[str, str]:
    status, environment, said = source(folder, bundle.startup_script(variables), "scheduler")
    assert (status, said) == (0, "")
    return environment


def test_variables_arrive_as_they_were_given_whatever_they_hold(tmp_path: Path) -> None:
    environment = sourced(tmp_path, VARIABLES | NASTY)
    assert {name: environment[name] for name in VARIABLES | NASTY} == VARIABLES | NASTY


def test_the_script_adds_where_mwaa_has_the_dbt_project_and_its_program(tmp_path: Path) -> None:
    environment = sourced(tmp_path, VARIABLES)
    home = str(tmp_path / "air flow")
    assert environment["MUSIC_STREAMS_DBT_PROJECT_DIR"] == environment["DBT_PROFILES_DIR"] == f"{home}/dags/dbt"
    assert environment["MUSIC_STREAMS_DBT_EXECUTABLE"] == f"{home}/dbt/bin/dbt"


@pytest.mark.parametrize("component", ["scheduler", "webserver", "migrate-db"])
def test_where_no_task_runs_no_dbt_is_installed(tmp_path: Path, component: str) -> None:
    status, _, said = source(tmp_path, bundle.startup_script(VARIABLES), component)
    assert (status, said) == (0, "")
    assert list((tmp_path / "air flow").iterdir()) == []


@pytest.mark.parametrize("component", ["worker", "hybrid", "test-startup-script"])
def test_a_worker_without_dbt_does_not_start(tmp_path: Path, component: str) -> None:
    status, _, said = source(tmp_path, bundle.startup_script(VARIABLES), component)
    assert status == 1
    assert "python3: command not found" in said
    assert f"cannot make dbt's environment in {tmp_path}/air flow/dbt" in said
    assert not (tmp_path / "variables").exists()


def registry_that_fails(folder: Path, times: int) -> Path:
    """A Python whose pip fails so often before it installs; returns the file that counts its calls."""
    programs, calls = folder / "programs", folder / "calls"
    programs.mkdir()
    program = programs / "python3"
    program.write_text(FAILING_PIP.format(programs=programs, calls=calls, times=times))
    program.chmod(0o755)
    for name in ("bash", "ln", "mkdir", "mv", "timeout", "wc"):
        (programs / name).symlink_to(str(shutil.which(name)))
    (programs / "sleep").symlink_to(str(shutil.which("true")))
    return calls


def test_a_registry_that_is_away_for_a_moment_is_asked_again(tmp_path: Path) -> None:
    calls = registry_that_fails(tmp_path, 2)

    status, _, said = source(tmp_path, bundle.startup_script(VARIABLES), "worker")

    assert status == 0, said
    assert [line for line in said.splitlines() if "pip failed" in line] == [
        "pip failed at try 1, 0 s after it began",
        "pip failed at try 2, 0 s after it began",
    ]
    assert len(calls.read_text().splitlines()) == 3
    assert (tmp_path / "air flow" / "dbt" / "requirements.txt").exists()


def test_a_registry_that_stays_away_ends_the_start(tmp_path: Path) -> None:
    calls = registry_that_fails(tmp_path, 100)

    status, _, said = source(tmp_path, bundle.startup_script(VARIABLES), "worker")

    assert status == 1
    assert len(calls.read_text().splitlines()) == 4
    assert "can the environment's subnets reach PyPI?" in said


def test_a_script_without_what_the_dag_needs_is_refused() -> None:
    some = {name: value for name, value in VARIABLES.items() if name not in {"REDSHIFT_HOST", "MUSIC_STREAMS_BUCKET"}}
    with pytest.raises(bundle.BundleError, match="lacks MUSIC_STREAMS_BUCKET, REDSHIFT_HOST"):
        bundle.startup_script(some)


@pytest.mark.parametrize("name", ["", "1ST", "A B", "A=B; id", "ä", "lower"])
def test_what_is_no_name_of_a_variable_is_refused(name: str) -> None:
    with pytest.raises(bundle.BundleError, match="no names of variables"):
        bundle.startup_script(VARIABLES | {name: "x"})


def test_every_variable_of_the_script_is_one_that_something_reads() -> None:
    of_dbt = [*(bundle.REPOSITORY / "dbt_project").rglob("*.sql"), bundle.REPOSITORY / "profiles.yml.example"]
    by_name = "".join(path.read_text() for path in of_dbt)
    by_constant = "".join(path.read_text() for path in (bundle.REPOSITORY / "dags").rglob("*.py"))
    constants = {value.name: name for name, value in vars(variables).items() if isinstance(value, variables.Variable)}
    assert not {
        name for name in bundle.VARIABLES if name not in by_name and f"variables.{constants[name]}." not in by_constant
    }
