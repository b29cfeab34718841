"""`make report`: show the page of charts that the last complete run has published."""

import os
import webbrowser
from collections.abc import Callable, Mapping

from contract import layout
from contract.bucket import Bucket, GoneError
from sandbox.home import SandboxError
from sandbox.lifecycle import Sandbox
from sandbox.settings import BUCKET

DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")


def show(
    sandbox: Sandbox, environment: Mapping[str, str] = os.environ, browse: Callable[[str], bool] = webbrowser.open
) -> None:
    """Print the page's address, and open it if there is a screen, since a terminal's browser could not draw it.

    Raises:
        SandboxError: no run has published a page yet.
    """
    try:
        Bucket(BUCKET, sandbox.aws.s3).head(layout.KPI_REPORT_PAGE)
    except GoneError as error:
        raise SandboxError("no run has published the page of charts yet: run `make run` first") from error
    address = f"{sandbox.ports.aws_endpoint}/{BUCKET}/{layout.KPI_REPORT_PAGE}"
    print(f"The page of charts is at {address}")
    if any(environment.get(display) for display in DISPLAYS):
        browse(address)
