"""The dbt profile that the tasks of the DAG use."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cosmos import ProfileConfig


class ProfileOfTask(ProfileConfig):  # type: ignore[misc]  # Cosmos has no types
    """A target of profiles.yml whose IAM role is exchanged for a password once per task.

    Otherwise dbt-redshift, which opens a connection for each node, would ask AWS for a password for each one.
    """

    @contextmanager
    def ensure_profile(
        self, desired_profile_path: Path | None = None, use_mock_values: bool = False
    ) -> Iterator[tuple[Path, dict[str, str]]]:
        """Add the password to the variables that Cosmos, which enters this around each dbt command, passes to dbt."""
        from music_streams.queries import Warehouse  # noqa: PLC0415 - reading the DAG takes no driver

        with super().ensure_profile(desired_profile_path, use_mock_values) as (profiles, variables):
            yield profiles, variables | Warehouse(profiles, self.target_name).password_of_role()
