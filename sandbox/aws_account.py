"""The sandbox's AWS account: clients for it, and what stands in it before the first run."""

import io
import json
import os
import zipfile
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from music_streams import lake

from sandbox.home import REPOSITORY, Secrets
from sandbox.processes import NotReadyError
from sandbox.settings import ACCOUNT, BUCKET, COPY_ROLE, GLUE_ROLE, REGION

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient
    from mypy_boto3_glue.type_defs import JobUpdateTypeDef
    from mypy_boto3_s3 import S3Client

GLUE_PACKAGE = REPOSITORY / "glue_jobs"
ARTIFACTS = "artifacts"
GLUE_JOBS = {
    "curate-user-streams": "curate_user_streams.py",
    "genre_level_kpis": "genre_level_kpis.py",
    "hourly-kpis": "hourly_kpis.py",
}
TIMEOUT_MINUTES = 30

# A browser shows the pages of a run without credentials; nothing else of the lake.
PAGES_ARE_PUBLIC = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": [
                f"arn:aws:s3:::{BUCKET}/{lake.BatchFolder('*').validation}/*",
                f"arn:aws:s3:::{BUCKET}/{lake.DBT_DOCS_PAGE}",
            ],
        }
    ],
}

# Neither AWS_PROFILE nor the files in ~/.aws are looked at.
OF_NO_USER = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


class Account:
    """The account behind an endpoint, whatever account the user's shell points at."""

    def __init__(self, endpoint: str, secrets: Secrets) -> None:
        """Nothing is asked before the first call."""
        self._endpoint = endpoint
        self._session = boto3.Session(
            botocore_session=botocore.session.Session(OF_NO_USER),
            aws_access_key_id=secrets.aws_access_key_id,
            aws_secret_access_key=secrets.aws_secret_access_key,
            region_name=REGION,
        )
        self._config = Config(proxies={}, s3={"addressing_style": "path"})

    @cached_property
    def s3(self) -> "S3Client":
        """S3."""
        return self._session.client("s3", endpoint_url=self._endpoint, config=self._config)

    @cached_property
    def glue(self) -> "GlueClient":
        """Glue."""
        return self._session.client("glue", endpoint_url=self._endpoint, config=self._config)

    @cached_property
    def iam(self) -> Any:
        """IAM."""
        return self._session.client("iam", endpoint_url=self._endpoint, config=self._config)

    def check(self) -> None:
        """Readiness of the AWS APIs.

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
        """Make what is missing and bring the Glue jobs to the code of the repository."""
        if BUCKET not in {bucket["Name"] for bucket in self.s3.list_buckets()["Buckets"]}:
            self.s3.create_bucket(Bucket=BUCKET)
        self.s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(PAGES_ARE_PUBLIC))
        self._make_role(COPY_ROLE, "redshift.amazonaws.com")
        self._make_role(GLUE_ROLE, "glue.amazonaws.com")
        for script in GLUE_JOBS.values():
            self.s3.upload_file(str(GLUE_PACKAGE / script), BUCKET, f"{ARTIFACTS}/glue_jobs/{script}")
        self.s3.put_object(Bucket=BUCKET, Key=f"{ARTIFACTS}/glue_jobs.zip", Body=glue_package())
        self._make_glue_jobs()

    def _make_role(self, name: str, service: str) -> None:
        trust = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}],
        }
        try:
            self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
        except self.iam.exceptions.EntityAlreadyExistsException:
            return

    def _make_glue_jobs(self) -> None:
        existing = set(self.glue.list_jobs(MaxResults=100)["JobNames"])
        for name, script in GLUE_JOBS.items():
            definition = glue_job(script)
            if name in existing:
                self.glue.update_job(JobName=name, JobUpdate=definition)
            else:
                self.glue.create_job(Name=name, **definition)


def glue_package() -> bytes:
    """The package glue_jobs as a zip file that Python imports from."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for file in sorted(GLUE_PACKAGE.rglob("*.py")):
            archive.writestr(str(file.relative_to(REPOSITORY)), file.read_bytes())
    return content.getvalue()


def glue_job(script: str) -> "JobUpdateTypeDef":
    """The definition of the job that runs a script."""
    return {
        "Role": f"arn:aws:iam::{ACCOUNT}:role/{GLUE_ROLE}",
        "Command": {
            "Name": "glueetl",
            "ScriptLocation": f"s3://{BUCKET}/{ARTIFACTS}/glue_jobs/{script}",
            "PythonVersion": "3",
        },
        "DefaultArguments": {"--extra-py-files": f"s3://{BUCKET}/{ARTIFACTS}/glue_jobs.zip"},
        "ExecutionProperty": {"MaxConcurrentRuns": 1},
        "JobRunQueuingEnabled": True,
        "Timeout": TIMEOUT_MINUTES,
        "GlueVersion": "5.1",
        "WorkerType": "G.1X",
        "NumberOfWorkers": 2,
    }
