"""The lists of packages that MWAA installs, made from uv.lock: `python -m infra.requirements` after each change of it.

`requirements.txt` goes into Airflow's own environment: all that MWAA's image lacks, dependencies too, so that pip there
has nothing left to choose. `dbt-requirements.txt` is the whole of dbt's environment, with the hash of each file.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

from infra.tools import uv

REPOSITORY = Path(__file__).resolve().parents[1]
LOCK = REPOSITORY / "uv.lock"
FOLDER = Path(__file__).with_name("mwaa")
CONSTRAINTS = FOLDER / "constraints-3.2.1.txt"
IMAGE = FOLDER / "image.in"
WANTED = FOLDER / "requirements.in"
REQUIREMENTS = FOLDER / "requirements.txt"
DBT_REQUIREMENTS = FOLDER / "dbt-requirements.txt"

DBT = ("dbt-core", "dbt-redshift")
PYTHON = (3, 12)
LIBRARY = 34  # glibc 2.34: MWAA's containers are Amazon Linux 2023
MACHINES = ("x86_64", "aarch64")

# pip on MWAA takes any line with the option for constraints, a comment too, for a wish to do without MWAA's own.
MADE = "# Made by `python -m infra.requirements` from uv.lock{source}: do not edit.\n"


def main() -> None:
    """Write both lists."""
    REQUIREMENTS.write_text(requirements())
    DBT_REQUIREMENTS.write_text(dbt_requirements())


def requirements() -> str:
    """All that requirements.in needs and MWAA's image has not, at the versions of MWAA and of uv.lock.

    Raises:
        subprocess.CalledProcessError: these do not go together; uv has said why.
    """
    image = set(resolve([IMAGE]))
    added = [line for line in resolve([IMAGE, WANTED]) if line not in image]
    return MADE.format(source=", constraints-3.2.1.txt and requirements.in") + "".join(f"{line}\n" for line in added)


def resolve(wanted: Iterable[Path]) -> list[str]:
    """What pip would install for the lists of requirements on MWAA: `name==version`."""
    shared = ["export", "--frozen", "--no-group", "infra", "--no-hashes", "--no-annotate", "--no-emit-project"]
    # In MWAA's own environment nothing needs the older releases that dbt does.
    ours = [line for line in uv(*shared).splitlines() if not line.startswith(("pathspec=", "more-itertools="))]
    with NamedTemporaryFile("w", suffix=".txt") as locked:
        locked.write("\n".join(ours))
        locked.flush()
        options = ["--python-version", ".".join(map(str, PYTHON)), "--python-platform", f"x86_64-manylinux_2_{LIBRARY}"]
        constraints = ["--constraints", str(CONSTRAINTS), "--constraints", locked.name]
        files = [str(path) for path in wanted]
        return uv("pip", "compile", "--quiet", "--no-header", "--no-annotate", *options, *constraints, *files).split()


def dbt_requirements() -> str:
    """All of dbt's environment at the versions of uv.lock, with the hashes of the wheels that fit MWAA."""
    packages: dict[str, list[Mapping[str, Any]]] = {}
    for package in tomllib.loads(LOCK.read_text())["package"]:
        packages.setdefault(package["name"], []).append(package)
    lines = [MADE.format(source="")]
    for package in sorted(needed(DBT, packages), key=lambda package: str(package["name"])):
        hashes = sorted(wheel["hash"] for wheel in package["wheels"] if fits(wheel["url"].rpartition("/")[2]))
        if not hashes:
            raise LookupError(f"{package['name']} {package['version']} has no wheel for MWAA's Python: take another")
        lines.append(f"{package['name']}=={package['version']} \\\n")
        lines.append(" \\\n".join(f"    --hash={digest}" for digest in hashes) + "\n")
    return "".join(lines)


def needed(roots: Iterable[str], packages: Mapping[str, list[Mapping[str, Any]]]) -> Iterator[Mapping[str, Any]]:
    """The packages of these names and all that they need on MWAA, each once."""
    here = {"python_version": "3.12", "python_full_version": "3.12.12", "extra": "", "sys_platform": "linux"}
    here |= {"platform_system": "Linux", "os_name": "posix", "platform_machine": MACHINES[0]}
    here |= {"implementation_name": "cpython", "platform_python_implementation": "CPython"}
    waiting: list[Mapping[str, Any]] = [{"name": root} for root in roots]
    found: set[tuple[str, str]] = set()
    while waiting:
        asked = waiting.pop()
        (package,) = (
            candidate
            for candidate in packages[asked["name"]]
            if asked.get("version", candidate["version"]) == candidate["version"]
        )
        sets = [package.get("dependencies", [])] if (package["name"], package["version"]) not in found else []
        sets += [package["optional-dependencies"][extra] for extra in asked.get("extra", [])]
        if (package["name"], package["version"]) not in found:
            found.add((package["name"], package["version"]))
            yield package
        waiting += [
            dependency
            for dependencies in sets
            for dependency in dependencies
            if "marker" not in dependency or Marker(dependency["marker"]).evaluate(here)
        ]


def fits(wheel: str) -> bool:
    """Whether MWAA's Python takes a wheel of this name."""
    return not parse_wheel_filename(wheel)[3].isdisjoint(TAGS)


def _tags() -> Iterator[Tag]:
    manylinux = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}
    for machine in MACHINES:
        newest_first = range(LIBRARY, 4, -1)
        platforms = [f"manylinux_2_{minor}_{machine}" for minor in newest_first]
        platforms += [f"{name}_{machine}" for name in manylinux.values()]
        yield from cpython_tags(PYTHON, platforms=platforms)
        yield from compatible_tags(PYTHON, "cp312", platforms)


TAGS = frozenset(_tags())


def pins(text: str) -> dict[str, str]:
    """The lines `name==version` of a list, hashes and markers aside: version by canonical name."""
    found = re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


if __name__ == "__main__":
    main()
