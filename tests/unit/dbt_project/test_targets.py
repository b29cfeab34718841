"""The targets of profiles.yml.example: what each asks for, how each connects, which schemas each may write to."""

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
import redshift_connector
from dbt.adapters.redshift.connections import RedshiftCredentials, get_connection_method
from dbt.exceptions import DbtProfileError
from dbt_common.exceptions import DbtRuntimeError
from jinja2 import Environment
from music_streams.queries import Warehouse
from music_streams.settings import SettingError
from redshift_connector.error import InterfaceError
from redshift_connector.iam_helper import IamHelper
from redshift_connector.redshift_property import RedshiftProperty

from tests.dbt_profile import PROFILES, profile
from tests.unit.dbt_project.conftest import OURS, ROOT, Dbt

SERVERLESS = "kpis.123456789012.eu-west-1.redshift-serverless.amazonaws.com"
CLUSTER = "kpis.abc123.eu-west-1.redshift.amazonaws.com"
DATABASE = {"REDSHIFT_DATABASE": "analytics"}
USER, PASSWORD = {"REDSHIFT_USER": "anna"}, {"REDSHIFT_PASSWORD": "secret"}
REGION = {"AWS_REGION": "eu-west-1"}

MACRO = ROOT / "dbt_project" / "macros" / "generate_schema_name.sql"
DOCS = ROOT / "docs" / "warehouse.md"

# All that each target needs; docs/warehouse.md says the same.
NEEDED: dict[str, dict[str, str]] = {
    "sandbox": {},
    "prod": {"REDSHIFT_HOST": SERVERLESS, **DATABASE, **REGION},
    "dev_password": {"REDSHIFT_HOST": CLUSTER, **DATABASE, **USER, **PASSWORD},
    "dev_serverless_iam": {"REDSHIFT_HOST": SERVERLESS, **DATABASE, **REGION, **USER},
    "dev_serverless_role": {"REDSHIFT_HOST": SERVERLESS, **DATABASE, **REGION},
    "dev_cluster_iam": {"REDSHIFT_HOST": CLUSTER, **DATABASE, **REGION, "REDSHIFT_CLUSTER": "kpis", **USER},
    "dev_cluster_role": {"REDSHIFT_HOST": CLUSTER, **DATABASE, **REGION, "REDSHIFT_CLUSTER": "kpis"},
}
LOGIN: dict[str, dict[str, Any]] = {
    "sandbox": {"ssl": False, "user": "sandbox", "host": "127.0.0.1", "port": 5439},
    "prod": {"iam": True, "is_serverless": True, "db_user": None, "group_federation": False},
    "dev_password": {"user": "anna", "password": "secret", "is_serverless": False},
    "dev_serverless_iam": {"iam": True, "is_serverless": True, "db_user": "anna"},
    "dev_serverless_role": {"iam": True, "is_serverless": True, "db_user": None, "group_federation": False},
    "dev_cluster_iam": {"iam": True, "cluster_identifier": "kpis", "db_user": "anna", "is_serverless": False},
    "dev_cluster_role": {"iam": True, "cluster_identifier": "kpis", "db_user": None, "group_federation": True},
}


@pytest.fixture
def environment() -> Iterator[pytest.MonkeyPatch]:
    """An environment that holds none of our variables."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(OURS)]:
            patch.delenv(name)
        yield patch


def credentials(target: str, environment: pytest.MonkeyPatch) -> RedshiftCredentials:
    for name, value in NEEDED[target].items():
        environment.setenv(name, value)
    found = profile(target).credentials
    assert isinstance(found, RedshiftCredentials)
    return found


@pytest.mark.parametrize("target", NEEDED)
def test_a_target_connects_by_its_own_method_with_its_own_variables_only(
    target: str, environment: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}
    environment.setattr(redshift_connector, "connect", lambda **options: asked.update(options) or redshift_connector)

    found = credentials(target, environment)
    get_connection_method(found)()

    assert asked.items() >= LOGIN[target].items()
    assert found.retries == 0
    if target != "sandbox":
        assert (asked["ssl"], asked["sslmode"]) == (True, "verify-full")
        assert asked["database"] == "analytics"


@pytest.mark.parametrize(("target", "variable"), [(target, name) for target in NEEDED for name in NEEDED[target]])
def test_a_missing_variable_is_named(target: str, variable: str, environment: pytest.MonkeyPatch) -> None:
    environment.setitem(NEEDED, target, {name: value for name, value in NEEDED[target].items() if name != variable})

    with pytest.raises(DbtRuntimeError, match=f"Env var required but not provided: '{variable}'"):
        credentials(target, environment)


@pytest.mark.parametrize("target", ["prod", "dev_serverless_iam", "dev_serverless_role"])
def test_redshifts_own_name_of_a_serverless_host_holds_the_workgroup(
    target: str, environment: pytest.MonkeyPatch
) -> None:
    asked: list[RedshiftProperty] = []

    def ask_aws(_: Any, properties: RedshiftProperty) -> None:
        asked.append(properties)
        raise InterfaceError

    environment.setattr(IamHelper, "set_cluster_credentials", ask_aws)
    connect = get_connection_method(credentials(target, environment))

    with pytest.raises(InterfaceError):
        connect()
    assert [(of.serverless_work_group, of.is_cname) for of in asked] == [("kpis", False)]


@pytest.mark.parametrize("target", NEEDED)
def test_the_dag_logs_in_as_dbt_does(target: str, environment: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    environment.setattr(redshift_connector, "connect", lambda **options: asked.update(options) or redshift_connector)
    get_connection_method(credentials(target, environment))()

    ours = Warehouse(PROFILES, target, NEEDED[target]).login

    assert asked.items() >= ours.items()
    assert not any(asked[name] for name in asked.keys() - ours.keys()), (
        "what dbt says besides is redshift_connector's own"
    )


@pytest.mark.parametrize(("target", "prefix"), [("prod", ""), ("sandbox", "dev_anna"), ("dev_password", "ci_7")])
def test_the_dag_reads_the_schema_that_the_project_names(
    target: str, prefix: str, environment: pytest.MonkeyPatch
) -> None:
    variables = NEEDED[target] | ({"MUSIC_STREAMS_SCHEMA_PREFIX": prefix} if prefix else {})
    named = schema(target, prefix or "reporting", "reporting", exported=prefix)
    assert Warehouse(PROFILES, target, variables).reporting == named


def test_the_dag_names_the_variable_or_the_target_that_is_missing() -> None:
    with pytest.raises(SettingError, match="REDSHIFT_DATABASE is not set"):
        Warehouse(PROFILES, "prod", {"REDSHIFT_HOST": SERVERLESS, "AWS_REGION": "eu-west-1"})
    with pytest.raises(SettingError, match="has no target 'dev': set DBT_TARGET to one of sandbox, prod"):
        Warehouse(PROFILES, "dev", {})


def test_every_target_is_tested() -> None:
    with pytest.raises(DbtProfileError) as error:
        profile("no such target")
    for target in NEEDED:
        assert f" - {target}" in str(error.value)
    assert str(error.value).count(" - ") == len(NEEDED)


class RefusedError(Exception):
    """dbt's compiler error."""


class ReturnedError(Exception):
    """What a macro returns, as in dbt."""


def schema(target: str, prefix: str, layer: str | None, exported: str = "") -> str:
    """The schema that the project's own macro gives to a node whose config says `schema: layer`."""

    def answer(name: str) -> None:
        raise ReturnedError(name)

    def refuse(text: str) -> None:
        raise RefusedError(text)

    template = Environment(extensions=["jinja2.ext.do"]).from_string(MACRO.read_text())
    macro: Any = template.make_module(
        {
            "target": {"name": target, "schema": prefix},
            "env_var": lambda _name, default: exported or default,
            "exceptions": {"raise_compiler_error": refuse},
            "modules": {"re": re},
            "return": answer,
        }
    )
    with pytest.raises(ReturnedError) as returned:
        macro.generate_schema_name(layer, None)
    return str(returned.value)


def test_only_the_target_prod_writes_to_schemas_without_a_prefix() -> None:
    layers = ("staging", "reporting", "test_failures", None)
    production = [schema("prod", "reporting", layer) for layer in layers]

    assert production == ["staging", "reporting", "test_failures", "reporting"]
    for prefix in (*production, "dev_anna", "test", "s", "_".join(production)):
        others = [schema("dev_password", prefix, layer, exported=prefix) for layer in layers]
        assert others[:2] == [f"{prefix}_staging", f"{prefix}_reporting"]
        assert not {*others} & {*production}


@pytest.mark.parametrize("prefix", [" ", "Dev", "dev-anna", "1st", '"', "a.b", "_", "é", "dev\n"])
def test_a_prefix_that_cannot_begin_a_name_is_refused(prefix: str) -> None:
    with pytest.raises(RefusedError, match="cannot begin the names of schemas: set MUSIC_STREAMS_SCHEMA_PREFIX"):
        schema("dev_password", prefix, "staging")


def test_an_empty_prefix_is_refused() -> None:
    with pytest.raises(RefusedError, match="MUSIC_STREAMS_SCHEMA_PREFIX is not set"):
        schema("sandbox", "", "staging")


def test_a_target_of_ones_own_that_is_named_prod_is_refused() -> None:
    with pytest.raises(
        RefusedError, match="its profile says `schema: dev_anna`: give a target of your own another name"
    ):
        schema("prod", "dev_anna", "staging")


def test_prod_is_refused_where_a_prefix_is_exported(dbt: Dbt) -> None:
    variables = {**NEEDED["prod"], "DBT_TARGET": "prod", "MUSIC_STREAMS_SCHEMA_PREFIX": "dev_anna"}

    parsed = dbt("parse", "--no-partial-parse", variables=variables)

    assert not parsed.success
    assert "MUSIC_STREAMS_SCHEMA_PREFIX is 'dev_anna', as for a build of your own" in str(parsed.exception)


@pytest.mark.parametrize("target", [target for target in NEEDED if target != "sandbox"])
def test_the_docs_name_what_a_target_needs(target: str) -> None:
    (row,) = re.findall(rf"^\| `{target}` \| [^|]* \| (.*(?:REDSHIFT).*) \|$", DOCS.read_text(), re.MULTILINE)

    assert set(re.findall(r"`(\w+)`", row)) == set(NEEDED[target])
