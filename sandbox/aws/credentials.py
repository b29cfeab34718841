"""The one account of the sandbox. moto accepts any key; these are used wherever a key is required."""

from collections.abc import Mapping

ACCOUNT_ID = "123456789012"
REGION = "us-east-1"
ACCESS_KEY_ID = "sandbox"
SECRET_ACCESS_KEY = "sandbox"  # noqa: S105  it protects nothing


def aws_environment(endpoint_url: str, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns variables by which boto3, aws-cli and Spark reach the endpoint; keys and region of `environment` win."""
    chosen = environment or {}
    region = chosen.get("AWS_REGION") or chosen.get("AWS_DEFAULT_REGION") or REGION
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": chosen.get("AWS_ACCESS_KEY_ID") or ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": chosen.get("AWS_SECRET_ACCESS_KEY") or SECRET_ACCESS_KEY,
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
    }
