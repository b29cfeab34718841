"""The Python platforms of AWS that install packages of uv.lock, and the wheels that they accept."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

OLD_NAMES = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}  # aliases of manylinux_2_5, …


@dataclass(frozen=True)
class Platform:
    """A CPython on Linux.

    Attributes:
        name: the AWS service, for messages.
        python: the major and minor version, such as (3, 12).
        glibc: the minor version of glibc 2.
        machines: the processor architectures that it may run on.
    """

    name: str
    python: tuple[int, int]
    glibc: int
    machines: tuple[str, ...]

    @property
    def version(self) -> str:
        """The Python version, such as `3.12`."""
        return ".".join(map(str, self.python))

    @property
    def markers(self) -> dict[str, str]:
        """The values of the variables in the environment markers of requirements."""
        return {
            "python_version": self.version,
            "python_full_version": f"{self.version}.12",
            "extra": "",
            "sys_platform": "linux",
            "platform_system": "Linux",
            "os_name": "posix",
            "platform_machine": self.machines[0],
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
        }

    @property
    def names(self) -> list[str]:
        """The platform's tags in wheel names, the newest first."""
        return [
            name
            for machine in self.machines
            for minor in range(self.glibc, 4, -1)
            for name in [f"manylinux_2_{minor}_{machine}"]
            + ([f"{OLD_NAMES[minor]}_{machine}"] if minor in OLD_NAMES else [])
        ]

    def takes(self, wheel: str) -> bool:
        """Return whether a wheel of this file name installs on the platform.

        Raises:
            packaging.utils.InvalidWheelFilename: the name is not a wheel's.
        """
        return not parse_wheel_filename(wheel)[3].isdisjoint(self._tags)

    @cached_property
    def _tags(self) -> frozenset[Tag]:
        def tags() -> Iterator[Tag]:
            yield from cpython_tags(self.python, platforms=self.names)
            yield from compatible_tags(self.python, f"cp{self.python[0]}{self.python[1]}", self.names)

        return frozenset(tags())


# Both run on Amazon Linux 2023.
MWAA = Platform("MWAA", (3, 12), 34, ("x86_64", "aarch64"))
GLUE = Platform("Glue", (3, 13), 34, ("x86_64",))
