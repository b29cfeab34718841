"""A lake on the sandbox's S3, and the warm Spark session that reads and writes it."""

import uuid

import pytest
from pyspark.sql import SparkSession

from tests.integration.glue_jobs.lake_of_events import LakeOfEvents


@pytest.fixture
def lake(spark: SparkSession, aws_in_environment: None) -> LakeOfEvents:
    """A bucket with songs and users, and no streams."""
    return LakeOfEvents(spark, bucket=f"lake-{uuid.uuid4()}")
