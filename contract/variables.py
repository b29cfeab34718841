"""The environment variables that configure a deployment: name, default and meaning, each declared once.

A stage's start-up script and the sandbox set them, the DAG and dbt read them, docs/architecture.md lists them.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Variable:
    """An environment variable.

    Attributes:
        meaning: The description in docs/architecture.md.
        default: The value while the variable is unset or empty.
        of_stage: Whether a deployment must set it on MWAA; without it the DAG would not load, or would use resources
            other than the deployment's.
    """

    name: str
    meaning: str
    default: str = ""
    of_stage: bool = False

    def value(self, environment: Mapping[str, str]) -> str:
        """Return the variable's value, or its default."""
        return environment.get(self.name) or self.default


BUCKET = Variable("MUSIC_STREAMS_BUCKET", "the lake's bucket, which must be set", of_stage=True)
STAGE = Variable("MUSIC_STREAMS_STAGE", "the dimension of the DAG's metrics; without it there are none", of_stage=True)
ALERT_TOPIC_ARN = Variable(
    "MUSIC_STREAMS_ALERT_TOPIC_ARN",
    "the SNS topic that gets a message for each failed run; without it there are no messages",
    of_stage=True,
)
SCHEDULE = Variable(
    "AIRFLOW__MUSIC_STREAMS__SCHEDULE",
    "when the DAG runs, in UTC: a cron expression, a preset, or `none` for runs that somebody triggers; "
    "on AWS it is the parameter `Schedule` of a [stage](operations.md#changes)",
    "@daily",
)
GLUE_POLL_SECONDS = Variable("MUSIC_STREAMS_GLUE_POLL_SECONDS", "time between two polls of a Glue run", "60")
RETRY_SECONDS = Variable("MUSIC_STREAMS_RETRY_SECONDS", "time before a failed task is tried again", "30")

DBT_EXECUTABLE = Variable(
    "MUSIC_STREAMS_DBT_EXECUTABLE", "the dbt that the DAG starts; on MWAA dbt has an environment of its own", "dbt"
)
DBT_PROJECT_DIR = Variable(
    "MUSIC_STREAMS_DBT_PROJECT_DIR", "the folder of `dbt_project.yml` that the DAG uses; without it the repository"
)
DBT_MANIFEST = Variable(
    "MUSIC_STREAMS_DBT_MANIFEST",
    "the manifest that the DAG is rendered from, made ahead, so that parsing the DAG runs no dbt; "
    "without it `target/manifest.json` of the project",
)
DBT_PROFILES_DIR = Variable(
    "DBT_PROFILES_DIR", "the folder of `profiles.yml`, made from `profiles.yml.example`; without it the project's"
)
DBT_TARGET = Variable("DBT_TARGET", "the DAG's [target](warehouse.md#targets) in the profile", "prod", of_stage=True)
BATCH_ID = Variable("MUSIC_STREAMS_BATCH_ID", "the batch that dbt loads; the DAG sets it")
SCHEMA_PREFIX = Variable("MUSIC_STREAMS_SCHEMA_PREFIX", "begins the names of all schemas outside production")
READER = Variable("MUSIC_STREAMS_READER", "[who may read](warehouse.md#readers) the marts")
COPY_ROLE_ARN = Variable(
    "MUSIC_STREAMS_COPY_ROLE_ARN",
    "the role by which Redshift reads the bucket; without it the cluster's default role",
    of_stage=True,
)
REPORT_URL = Variable(
    "MUSIC_STREAMS_REPORT_URL",
    "the address of the page of charts in dbt's lineage; without it that of the object in the AWS console",
)

REDSHIFT_HOST = Variable("REDSHIFT_HOST", "the warehouse, as the AWS console shows its endpoint", of_stage=True)
REDSHIFT_PORT = Variable("REDSHIFT_PORT", "its port", "5439", of_stage=True)
REDSHIFT_DATABASE = Variable("REDSHIFT_DATABASE", "its database", of_stage=True)
REDSHIFT_USER = Variable("REDSHIFT_USER", "dbt's user, where the target does not take the caller's role")
REDSHIFT_PASSWORD = Variable("REDSHIFT_PASSWORD", "the user's password, where the target logs in with one")
ROLE_PASSWORD = Variable(
    "DBT_ENV_SECRET_REDSHIFT_PASSWORD", "the password that a task of the DAG has got for its role; dbt hides it"
)
REDSHIFT_WORKGROUP = Variable("REDSHIFT_WORKGROUP", "the workgroup, for targets of Redshift Serverless", of_stage=True)
REDSHIFT_CLUSTER = Variable("REDSHIFT_CLUSTER", "the cluster, for targets that log in to one by IAM")
SSL_CERT_FILE = Variable("SSL_CERT_FILE", "certificates of another authority than Amazon's ([TLS](warehouse.md#tls))")
AWS_REGION = Variable("AWS_REGION", "the region of bucket, jobs and warehouse")
AWS_ENDPOINT_URL = Variable("AWS_ENDPOINT_URL", "where AWS's APIs are; unset on AWS")

VARIABLES = tuple(value for value in list(globals().values()) if isinstance(value, Variable))
