"""`python -m sandbox.redshift --home DIR --port N`: runs the warehouse in the foreground until SIGTERM or SIGINT."""

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from sandbox.redshift.errors import WarehouseError
from sandbox.redshift.warehouse import Warehouse

_SECONDS_BETWEEN_CHECKS = 1


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.redshift", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="where the data live")
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1")
    arguments = parser.parse_args()
    password = os.environ.get("REDSHIFT_PASSWORD")
    if not password:
        parser.error("REDSHIFT_PASSWORD is not set: it is the password of the user `sandbox`")
    asked_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked_to_stop.set())
    prefix = os.environ.get("MUSIC_STREAMS_SCHEMA_PREFIX", "")
    try:
        with Warehouse(arguments.home, arguments.port, password, prefix) as warehouse:
            print(f"warehouse ready on 127.0.0.1:{warehouse.port}", flush=True)
            while not asked_to_stop.wait(_SECONDS_BETWEEN_CHECKS):
                warehouse.check()
    except WarehouseError as error:
        print(f"sandbox.redshift: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
