"""The sandbox's AWS account: clients for it, and the stacks that are deployed before the first run."""

import json
import os
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from contract import layout
from infra import glue_archive
from infra.deployment import Deployment
from sandbox.home import Secrets
from sandbox.processes import NotReadyError
from sandbox.settings import BUCKET, REGION, STAGE

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient
    from mypy_boto3_s3 import S3Client

# A browser may show the pages of a run without credentials, but no other objects of the lake.
PAGES_ARE_PUBLIC = {
    "Effect": "Allow",
    "Principal": "*",
    "Action": "s3:GetObject",
    "Resource": [
        f"arn:aws:s3:::{BUCKET}/{layout.BatchFolder('*').validation}/*",
        f"arn:aws:s3:::{BUCKET}/{layout.DBT_DOCS_PAGE}",
        f"arn:aws:s3:::{BUCKET}/{layout.KPI_REPORT_PAGE}",
    ],
}

# Makes boto3 ignore AWS_PROFILE and the files in ~/.aws.
WITHOUT_USER_CONFIGURATION = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


def glue_release() -> glue_archive.GlueRelease:
    """Build the code of the Glue jobs without wheels: in the sandbox they import .venv's packages, of the same lock."""
    return glue_archive.build(wheels=None)


class Account:
    """The account behind an endpoint, whatever account the user's shell is set up for."""

    def __init__(self, endpoint: str, secrets: Secrets) -> None:
        """Set up the session; the first request is sent by the first call of a client."""
        self._endpoint = endpoint
        self._session = boto3.Session(
            botocore_session=botocore.session.Session(WITHOUT_USER_CONFIGURATION),
            aws_access_key_id=secrets.aws_access_key_id,
            aws_secret_access_key=secrets.aws_secret_access_key,
            region_name=REGION,
        )
        self._config = Config(proxies={}, s3={"addressing_style": "path"})

    @cached_property
    def s3(self) -> "S3Client":
        """A client of S3."""
        return self._session.client("s3", endpoint_url=self._endpoint, config=self._config)

    @cached_property
    def glue(self) -> "GlueClient":
        """A client of Glue."""
        return self._session.client("glue", endpoint_url=self._endpoint, config=self._config)

    def client(self, service: str) -> Any:
        """Return a client of any service."""
        create_client: Callable[..., Any] = self._session.client  # the service's name is not literal here
        return create_client(service, endpoint_url=self._endpoint, config=self._config)

    def check(self) -> None:
        """Check that the AWS APIs are ready.

        Raises:
            NotReadyError: S3 does not answer yet.
        """
        impatient = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1})
        s3 = self._session.client("s3", endpoint_url=self._endpoint, config=self._config.merge(impatient))
        try:
            s3.list_buckets()
        except (BotoCoreError, ClientError) as error:
            raise NotReadyError(f"no answer from S3: {error}") from error

    def provision(self) -> None:
        """Deploy the stacks of the sandbox's stage as `make deploy` does on AWS, but without the network's stack."""
        deployment = Deployment(STAGE, self.client, glue_release, lambda *_: None, poll_seconds=0.01)
        deployment.deploy_lake()
        for part in ("events", "warehouse", "alerts", "airflow"):
            deployment.deploy_stack(part)
        self._show_pages()

    def _show_pages(self) -> None:
        policy = json.loads(self.s3.get_bucket_policy(Bucket=BUCKET)["Policy"])
        policy["Statement"].append(PAGES_ARE_PUBLIC)
        self.s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))
