"""Makes a certificate for the gateway, signed by an authority of its own."""

import ssl
from pathlib import Path

import trustme


def server_context(authority_file: Path) -> ssl.SSLContext:
    """Returns a TLS context for 127.0.0.1 and localhost; writes the authority's certificate, and keeps no key of it."""
    authority = trustme.CA(organization_name="Music Streams sandbox")
    authority.cert_pem.write_to_path(str(authority_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context
