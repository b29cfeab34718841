"""One Spark session for all tests that need one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from glue_jobs.session import spark_session
from sandbox.aws.spark_settings import java_home, spark_environment, write_spark_conf


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """The jobs' own session, in a machine and a driver that are far from UTC: no result may depend on them."""
    folder: Path = tmp_path_factory.mktemp("spark")
    conf = write_spark_conf(folder / "conf", "http://127.0.0.1:1", folder / "scratch")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in spark_environment(conf, java_home()).items():
            patch.setenv(name, value)
        patch.setenv("TZ", "America/St_Johns")
        with spark_session("tests") as session:
            yield session
