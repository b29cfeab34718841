"""What `make setup` makes of odd machines: one sentence with the way out, and nothing half done passes for whole.

uv, df and Python are played: the script is run on a folder with no more than it reads.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sandbox.home import REPOSITORY

SETUP = Path("sandbox") / "setup.sh"
NO_PYTHON = "error: Failed to download https://github.com/astral-sh/python-build-standalone"
UV = """#!/bin/sh
case "$*" in
--version) echo "uv 0.13.9" ;;
"python find"*) exit {finds_python} ;;
"python install"*) echo "{no_python}"; exit {cannot_fetch} ;;
sync*)
    echo "$*" >asked
    env | grep ^UV_ >environment
    mkdir -p .venv/bin
    printf '#!/bin/sh\\n' >.venv/bin/python
    chmod +x .venv/bin/python
    {while_installing}
    ;;
esac
"""


class Machine:
    """A folder with the script, and the programs that it finds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        (folder / "sandbox").mkdir()
        for name in (SETUP, "pyproject.toml", "uv.lock"):
            shutil.copyfile(REPOSITORY / name, folder / name)
        self.has_uv()

    def has_program(self, name: str, text: str) -> None:
        """The program is found before the machine's own."""
        program = self.folder / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)

    def has_uv(self, *, finds_python: bool = True, can_fetch: bool = True, while_installing: str = ":") -> None:
        """There is a uv, and this is what it does."""
        self.has_program(
            "uv",
            UV.format(
                finds_python=int(not finds_python),
                cannot_fetch=int(not can_fetch),
                no_python=NO_PYTHON,
                while_installing=while_installing,
            ),
        )

    def set_up(self, **variables: str) -> tuple[int, list[str]]:
        """Exit status, and the lines that were said."""
        environment = {"PATH": f"{self.folder / 'bin'}:/usr/bin:/bin", "HOME": str(self.home)} | variables
        done = subprocess.run(
            ["sh", self.folder / SETUP], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.stdout == ""
        return done.returncode, done.stderr.splitlines()

    def is_set_up(self) -> bool:
        """Whether the next command would take it for whole."""
        return (self.folder / ".venv" / ".installed").exists()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_second_time_nothing_is_said_and_nothing_is_done(machine: Machine) -> None:
    assert machine.set_up()[0] == 0
    assert machine.is_set_up()
    machine.has_uv(while_installing="exit 1")

    assert machine.set_up() == (0, [])


def test_uv_may_show_its_progress(machine: Machine) -> None:
    machine.set_up()

    assert "--quiet" not in (machine.folder / "asked").read_text()


def test_a_machine_without_a_python_that_fits_says_which_one_to_install(machine: Machine) -> None:
    machine.has_uv(finds_python=False, can_fetch=False)

    status, said = machine.set_up()

    assert status == 1
    assert said[-1] == (
        "error: there is no Python 3.11, 3.12 or 3.13 here, and none can be fetched. Install one (Debian: apt-get "
        "install python3.13), or name one that is not on PATH: UV_PYTHON=/where/python3.13 make …"
    )
    assert said[-2] == NO_PYTHON
    assert not (machine.folder / ".venv").exists()


def test_a_python_that_can_be_fetched_is_fetched(machine: Machine) -> None:
    machine.has_uv(finds_python=False)

    status, said = machine.set_up()

    assert (status, machine.is_set_up()) == (0, True)
    assert said[0].startswith("Fetching a Python from GitHub")


@pytest.mark.parametrize("home", ["", "/nowhere"])
def test_without_a_home_downloads_are_kept_in_the_repositorys_own_folder(machine: Machine, home: str) -> None:
    assert machine.set_up(HOME=home)[0] == 0

    tools = machine.folder / ".sandbox" / "tools"
    assert set((machine.folder / "environment").read_text().splitlines()) == {
        f"UV_CACHE_DIR={tools / 'cache'}",
        f"UV_PYTHON_INSTALL_DIR={tools / 'python'}",
    }


def test_a_home_that_can_be_written_is_left_to_uv(machine: Machine) -> None:
    machine.set_up()

    assert (machine.folder / "environment").read_text() == ""


def test_a_dev_null_that_is_no_device_is_said_with_its_repair(machine: Machine) -> None:
    file = machine.folder / "null"
    file.touch()
    script = machine.folder / SETUP
    script.write_text(script.read_text().replace("/dev/null", str(file)))

    status, said = machine.set_up()

    assert status == 1
    repair = f"rm -f {file} && mknod -m 666 {file} c 1 3"
    assert said == [f"error: {file} is no device (a program run as root has replaced it). As root: {repair}"]


def test_a_disk_that_is_too_full_is_said_before_anything_is_fetched(machine: Machine) -> None:
    machine.has_program("df", "#!/bin/sh\necho Filesystem\necho /dev/disk 9000000 8000000 1000000 89% /\n")

    status, said = machine.set_up()

    assert status == 1
    assert said == [
        f"error: the disk of {os.path.realpath(machine.folder)} is too full: .venv needs 2000 MB, and 1000 MB are free"
    ]


@pytest.mark.parametrize("signal", ["INT", "TERM", "KILL"])
def test_an_interrupted_installation_is_not_taken_for_whole(machine: Machine, signal: str) -> None:
    machine.has_uv(while_installing=f"kill -{signal} $PPID; exit 1")

    status, _ = machine.set_up()

    assert status != 0
    assert not machine.is_set_up()
    machine.has_uv()
    assert machine.set_up()[0] == 0
    assert machine.is_set_up()
