"""The targets of profiles.yml.example, as dbt reads them and connects to them."""

import os
from argparse import Namespace
from pathlib import Path

import yaml
from dbt.adapters.redshift.connections import RedshiftCredentials, get_connection_method
from dbt.config.profile import Profile
from dbt.config.renderer import ProfileRenderer
from dbt.flags import set_from_args
from dbt_common.context import set_invocation_context
from redshift_connector.core import Connection

PROFILES = Path(__file__).parents[1] / "profiles.yml.example"
NAME = "music_streams"


def profile(target: str | None = None) -> Profile:
    """A target, by default the one that DBT_TARGET names, filled in from the environment.

    Raises:
        DbtRuntimeError: a variable is missing, or there is no such target; the message names it.
    """
    set_invocation_context(os.environ)
    set_from_args(Namespace(), None)
    raw = yaml.safe_load(PROFILES.read_text())[NAME]
    return Profile.from_raw_profile_info(raw, NAME, ProfileRenderer({}), target)


def connect() -> Connection:
    """A session as dbt opens one, on the target that DBT_TARGET names; each statement commits."""
    credentials = profile().credentials
    assert isinstance(credentials, RedshiftCredentials)
    connection: Connection = get_connection_method(credentials)()
    return connection
