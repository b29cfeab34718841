"""`make docs`: serve the dbt docs on this machine."""

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from sandbox import dbt_project
from sandbox.lifecycle import Sandbox
from sandbox.settings import HOST, free_port, is_free

PREFERRED_PORT = 8081


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files without logging requests."""

    def log_message(self, *_arguments: Any) -> None:
        """Log nothing."""


def generate_and_serve(sandbox: Sandbox) -> None:
    """Generate the docs, print their address, and serve them until Ctrl-C."""
    dbt_project.write_profile(sandbox.home)
    print("Generating the dbt docs")
    site = dbt_project.generate_docs(sandbox.home, sandbox.environment())
    with server(site) as httpd:
        print(f"The docs are at http://{HOST}:{httpd.server_port} (Ctrl-C ends)", flush=True)
        try:
            httpd.serve_forever()
        except KeyboardInterrupt:
            print()


def server(site: Path) -> ThreadingHTTPServer:
    """Return a web server of the folder."""
    port = PREFERRED_PORT if is_free(PREFERRED_PORT) else free_port()
    return ThreadingHTTPServer((HOST, port), partial(QuietHandler, directory=str(site)))
