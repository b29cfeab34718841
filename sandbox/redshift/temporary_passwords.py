"""Passwords that AWS hands out to its identities for some minutes: GetClusterCredentials and its like.

A password holds its own proof, its end and a signature by the warehouse's secret, so that the AWS endpoint, which makes
it, and the gateway, which takes it, need to share nothing else.
"""

import hmac
from datetime import UTC, datetime

# As Redshift names them: a user of the database, one made at login, and one that stands for an IAM role.
IDENTITIES = ("IAM:", "IAMA:", "IAMR:")


def temporary_password(user: str, end: datetime, secret: str) -> str:
    """The password of a user whose name starts with one of IDENTITIES, good until `end`."""
    seconds = str(int(end.timestamp()))
    return f"{seconds}.{_signature(user, seconds, secret)}"


def complaint(user: str, password: str, secret: str) -> str:
    """Why Redshift would not take the password; empty when it would."""
    seconds, _, signature = password.partition(".")
    if not hmac.compare_digest(signature.encode(), _signature(user, seconds, secret).encode()):
        return f'password authentication failed for user "{user}"'
    end = datetime.fromtimestamp(int(seconds), UTC)
    if end < datetime.now(UTC):
        return f'the temporary password of user "{user}" expired at {end:%Y-%m-%d %H:%M:%S} UTC: ask AWS for another'
    return ""


def _signature(user: str, seconds: str, secret: str) -> str:
    return hmac.digest(secret.encode(), f"{user} {seconds}".encode(), "sha256").hex()
