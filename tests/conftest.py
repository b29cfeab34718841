"""What tests of several folders share: one S3 per test run, and Spark on it."""

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from glue_jobs.spark_distribution import on_spark
from glue_jobs.stages import Distribution
from sandbox.aws.endpoint import AwsEndpoint
from sandbox.aws.spark_settings import java_home, spark_environment, write_spark_conf
from tests import workers

if TYPE_CHECKING:
    from xdist.remote import Producer


def pytest_xdist_auto_num_workers() -> int:
    """What `--numprocesses auto` means."""
    return workers.number_of_workers(workers.cores(), workers.free_bytes())


def pytest_xdist_make_scheduler(config: pytest.Config, log: "Producer") -> workers.Scheduling | None:
    """Our own `--dist loadfile`; None leaves the others to xdist."""
    return workers.Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsEndpoint]:
    """An AWS endpoint without the rest of the sandbox."""
    with AwsEndpoint(tmp_path_factory.mktemp("aws")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def spark(aws: AwsEndpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Distribution]:
    """Kernels on Spark's workers, on a machine whose clock is far from UTC: no result may depend on it."""
    logging.getLogger("py4j").setLevel(logging.WARNING)  # at the end it would log to a stream that pytest has closed
    folder = tmp_path_factory.mktemp("spark")
    conf = write_spark_conf(folder / "conf", folder / "scratch")
    with pytest.MonkeyPatch.context() as patch:
        # Java, and the Python workers that it starts, keep the environment that they were started in.
        for name, value in {**aws.environment(), **spark_environment(conf, java_home())}.items():
            patch.setenv(name, value)
        patch.setenv("TZ", "America/St_Johns")
        with on_spark("tests") as distribution:
            patch.undo()
            yield distribution


@pytest.fixture
def aws_in_environment(aws: AwsEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 finds that endpoint for the length of a test."""
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)
