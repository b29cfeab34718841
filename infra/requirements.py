"""Make, from uv.lock, the lists of packages that AWS installs: `python -m infra.requirements`, after each change of it.

`mwaa/requirements.txt` is installed into Airflow's own environment: it lists every package that MWAA's image lacks,
dependencies included, so pip has no versions to resolve. `mwaa/dbt-requirements.txt` lists the whole environment of
dbt, and `glue/wheels.txt` the packages that the Glue jobs import beside Spark; both have the hash of each file.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from packaging.markers import Marker
from packaging.utils import canonicalize_name

from infra.platforms import GLUE, MWAA, Platform
from infra.tools import uv

REPOSITORY = Path(__file__).resolve().parents[1]
LOCK = REPOSITORY / "uv.lock"
FOLDER = Path(__file__).with_name("mwaa")
CONSTRAINTS = FOLDER / "constraints-3.2.1.txt"
IMAGE = FOLDER / "image.in"
WANTED = FOLDER / "requirements.in"
REQUIREMENTS = FOLDER / "requirements.txt"
DBT_REQUIREMENTS = FOLDER / "dbt-requirements.txt"
GLUE_WHEELS = Path(__file__).with_name("glue") / "wheels.txt"

DBT = ("dbt-core", "dbt-redshift")
JOBS = ("boto3", "duckdb", "pyarrow")

# If any line, even a comment, holds the option for constraints, MWAA does not apply its own constraints.
MADE = "# Made by `python -m infra.requirements` from uv.lock{source}: do not edit.\n"


def main() -> None:
    """Write the lists."""
    REQUIREMENTS.write_text(requirements())
    DBT_REQUIREMENTS.write_text(hashed(DBT, MWAA))
    GLUE_WHEELS.write_text(hashed(JOBS, GLUE))


def requirements() -> str:
    """Return the packages that requirements.in needs and MWAA's image lacks, at the versions of MWAA and of uv.lock.

    Raises:
        subprocess.CalledProcessError: the versions conflict; uv has printed the reason.
    """
    image = set(resolve([IMAGE]))
    added = [line for line in resolve([IMAGE, WANTED]) if line not in image]
    return MADE.format(source=", constraints-3.2.1.txt and requirements.in") + "".join(f"{line}\n" for line in added)


def resolve(wanted: Iterable[Path]) -> list[str]:
    """Return the packages that pip would install on MWAA for the lists of requirements: `name==version`."""
    shared = ["export", "--frozen", "--no-group", "infra", "--no-hashes", "--no-annotate", "--no-emit-project"]
    # dbt needs older releases of these two, but it is not installed in MWAA's own environment.
    ours = [line for line in uv(*shared).splitlines() if not line.startswith(("pathspec=", "more-itertools="))]
    with NamedTemporaryFile("w", suffix=".txt") as locked:
        locked.write("\n".join(ours))
        locked.flush()
        options = ["--python-version", MWAA.version, "--python-platform", f"x86_64-manylinux_2_{MWAA.glibc}"]
        constraints = ["--constraints", str(CONSTRAINTS), "--constraints", locked.name]
        files = [str(path) for path in wanted]
        return uv("pip", "compile", "--quiet", "--no-header", "--no-annotate", *options, *constraints, *files).split()


def hashed(roots: Iterable[str], platform: Platform) -> str:
    """List packages and their dependencies, at the versions of uv.lock, with the hashes of the wheels for a platform.

    Raises:
        LookupError: a package has no wheel for the platform.
    """
    packages: dict[str, list[Mapping[str, Any]]] = {}
    for package in tomllib.loads(LOCK.read_text())["package"]:
        packages.setdefault(package["name"], []).append(package)
    lines = [MADE.format(source="")]
    for package in sorted(needed(roots, packages, platform), key=lambda package: str(package["name"])):
        hashes = sorted(wheel["hash"] for wheel in package["wheels"] if platform.takes(wheel["url"].rpartition("/")[2]))
        if not hashes:
            raise LookupError(
                f"{package['name']} {package['version']} has no wheel for {platform.name}'s Python {platform.version}: "
                "take another version in pyproject.toml"
            )
        lines.append(f"{package['name']}=={package['version']} \\\n")
        lines.append(" \\\n".join(f"    --hash={digest}" for digest in hashes) + "\n")
    return "".join(lines)


def needed(
    roots: Iterable[str], packages: Mapping[str, list[Mapping[str, Any]]], platform: Platform
) -> Iterator[Mapping[str, Any]]:
    """Yield the packages of these names and all their dependencies on a platform, each once."""
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
            if "marker" not in dependency or Marker(dependency["marker"]).evaluate(platform.markers)
        ]


def pins(text: str) -> dict[str, str]:
    """Parse the lines `name==version` of a list, without hashes and markers: return versions by canonical name."""
    found = re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


if __name__ == "__main__":
    main()
