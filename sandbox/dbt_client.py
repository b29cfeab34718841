"""The sandbox's `dbt`: a fork of the server, which has already imported dbt, runs its command.

It replaces dbt's own program and is called like it, with the same arguments, streams, directory, environment and exit
status. If the server is down, it executes dbt's own program. It uses only the standard library, because it starts
without packages.
"""

import json
import os
import signal
import socket
import sys

SOCKET = "socket"  # in the folder of this program


def main() -> int:
    """Return dbt's exit status; if a signal killed dbt, end by the same signal."""
    directory = os.open(os.path.dirname(os.path.abspath(__file__)), os.O_RDONLY | os.O_DIRECTORY)  # noqa: PTH100, PTH120
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.connect(f"/proc/self/fd/{directory}/{SOCKET}")  # since a socket's name has at most 107 characters
        except (ConnectionRefusedError, FileNotFoundError):
            dbt = os.path.join(os.path.dirname(sys.executable), "dbt")  # noqa: PTH118, PTH120
            os.execv(dbt, [dbt, *sys.argv[1:]])  # noqa: S606
        request = {"arguments": sys.argv[1:], "directory": os.getcwd(), "environment": dict(os.environ)}  # noqa: PTH109
        content = json.dumps(request).encode()
        try:
            socket.send_fds(server, [len(content).to_bytes(8, "big")], [0, 1, 2])
            server.sendall(content)
            status = server.recv(1)
        except (BrokenPipeError, ConnectionResetError):
            status = b""
    if not status:
        os.kill(os.getpid(), signal.SIGKILL)
    return status[0]


if __name__ == "__main__":
    sys.exit(main())
