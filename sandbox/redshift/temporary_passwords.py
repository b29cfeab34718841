"""The passwords that AWS issues to its identities for some minutes, by GetClusterCredentials and similar calls.

A password holds its expiry and a signature with the warehouse's secret. So the AWS endpoint, which makes the password,
and the gateway, which checks it, share nothing but this secret.
"""

import hmac
from datetime import UTC, datetime

# Redshift's prefixes for a user of the database, for a user created at login, and for the user of an IAM role.
IDENTITIES = ("IAM:", "IAMA:", "IAMR:")


def temporary_password(user: str, end: datetime, secret: str) -> str:
    """Returns the password, valid until `end`, of a user whose name starts with one of IDENTITIES."""
    seconds = str(int(end.timestamp()))
    return f"{seconds}.{_signature(user, seconds, secret)}"


def complaint(user: str, password: str, secret: str) -> str:
    """Returns the reason why Redshift would refuse the password; empty if it would accept it."""
    seconds, _, signature = password.partition(".")
    if not hmac.compare_digest(signature.encode(), _signature(user, seconds, secret).encode()):
        return f'password authentication failed for user "{user}"'
    end = datetime.fromtimestamp(int(seconds), UTC)
    if end < datetime.now(UTC):
        return f'the temporary password of user "{user}" expired at {end:%Y-%m-%d %H:%M:%S} UTC: ask AWS for another'
    return ""


def _signature(user: str, seconds: str, secret: str) -> str:
    return hmac.digest(secret.encode(), f"{user} {seconds}".encode(), "sha256").hex()
