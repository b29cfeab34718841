"""A lake on the sandbox's S3 and one warm Spark session that reads and writes it."""

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from glue_jobs.session import spark_session
from sandbox.aws.endpoint import AwsEndpoint
from sandbox.aws.spark_settings import java_home, spark_environment, write_spark_conf
from tests.integration.glue_jobs.lake_of_events import LakeOfEvents


@pytest.fixture(scope="session")
def spark_on_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A session on an AWS endpoint of its own, which the environment of this process names meanwhile."""
    folder = tmp_path_factory.mktemp("glue-jobs")
    with AwsEndpoint(folder / "aws") as endpoint, pytest.MonkeyPatch.context() as patch:
        conf = write_spark_conf(folder / "spark", endpoint.url, folder / "scratch")
        for name, value in {**endpoint.environment(), **spark_environment(conf, java_home())}.items():
            patch.setenv(name, value)
        with spark_session("tests") as spark:
            yield spark


@pytest.fixture
def lake(spark_on_s3: SparkSession, request: pytest.FixtureRequest) -> LakeOfEvents:
    """An empty bucket."""
    return LakeOfEvents(spark_on_s3, bucket=f"lake-{abs(hash(request.node.nodeid)):x}")
