"""One lake, one warehouse and one dbt for all histories; each history starts with both empty."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from sandbox.aws.endpoint import AwsEndpoint
from sandbox.redshift.warehouse import Warehouse
from tests.properties.world import BUCKET, SCHEMA_PREFIX, World
from tests.warm_dbt import REPOSITORY, WarmDbt

PASSWORD = "of-no-use-elsewhere"


@pytest.fixture(scope="package")
def world(aws: AwsEndpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world; call forget() before use."""
    home: Path = tmp_path_factory.mktemp("properties")
    shutil.copy(REPOSITORY / "profiles.yml.example", home / "profiles.yml")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            **aws.environment(),
            "MUSIC_STREAMS_BUCKET": BUCKET,
            "MUSIC_STREAMS_COPY_ROLE_ARN": "arn:aws:iam::123456789012:role/copy",
            "MUSIC_STREAMS_SCHEMA_PREFIX": SCHEMA_PREFIX,
            "REDSHIFT_HOST": "127.0.0.1",
            "REDSHIFT_DATABASE": "dev",
            "REDSHIFT_USER": "sandbox",
            "REDSHIFT_PASSWORD": PASSWORD,
            "DBT_PROFILES_DIR": str(home),
            "DBT_TARGET": "sandbox",
            "DBT_EXCLUDE_RESOURCE_TYPES": "unit_test",  # as the DAG does
            "DBT_TARGET_PATH": str(home / "target"),
            "DBT_LOG_PATH": str(home / "logs"),
        }.items():
            patch.setenv(name, value)
        aws.client("s3").create_bucket(Bucket=BUCKET)
        with Warehouse(home / "warehouse", 0, PASSWORD, SCHEMA_PREFIX) as warehouse:
            patch.setenv("REDSHIFT_PORT", str(warehouse.port))
            dbt = WarmDbt()
            try:
                yield World(warehouse, dbt)
            finally:
                dbt.close()
                boto3.setup_default_session()
