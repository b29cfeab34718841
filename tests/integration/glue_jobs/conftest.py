"""A lake with songs and users for each test, on the sandbox's S3."""

import uuid

import pytest

from tests.pipeline import Pipeline


@pytest.fixture
def lake(aws_in_environment: None) -> Pipeline:
    return Pipeline.with_songs_and_users(f"lake-{uuid.uuid4()}")
