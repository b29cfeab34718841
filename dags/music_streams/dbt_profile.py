"""dbt's profile as the tasks of the DAG use it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cosmos import ProfileConfig


class ProfileOfTask(ProfileConfig):  # type: ignore[misc]  # Cosmos has no types
    """A target of profiles.yml whose IAM role has been exchanged for a password, once for the whole task.

    dbt-redshift connects anew for each node, and asks AWS for a password each time: 80 times in a run.
    """

    @contextmanager
    def ensure_profile(
        self, desired_profile_path: Path | None = None, use_mock_values: bool = False
    ) -> Iterator[tuple[Path, dict[str, str]]]:
        """Cosmos enters this around each dbt command, whose environment it gives the variables."""
        from music_streams.queries import Warehouse  # noqa: PLC0415 - reading the DAG takes no driver

        with super().ensure_profile(desired_profile_path, use_mock_values) as (profiles, variables):
            yield profiles, variables | Warehouse(profiles, self.target_name).password_of_role()
