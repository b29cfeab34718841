"""`python -m sandbox.aws --home DIR --port N`: the AWS endpoint, until SIGTERM. Prints its URL once it answers."""

import argparse
import logging
import os
import signal
import threading
from pathlib import Path

# moto reads these when it is imported.
os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "true"

from sandbox.aws.authorization import Authorizer
from sandbox.aws.server import AwsServer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sandbox.aws", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder of everything that persists")
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1; 0 chooses a free one")
    parser.add_argument(
        "--seconds-per-minute", type=float, default=60, help="length of the minutes of Glue timeouts, for tests"
    )
    parser.add_argument(
        "--queue-minutes", type=float, default=24 * 60, help="how long a Glue run may wait before it is EXPIRED"
    )
    parser.add_argument(
        "--administrator", metavar="KEY", help="access key id of who may do everything; without, everybody may"
    )
    parser.add_argument(
        "--role-session",
        metavar="KEY=ROLE",
        action="append",
        default=[],
        help="access key id of somebody who may do what the role may",
    )
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

    sessions = dict(session.split("=", 1) for session in options.role_session)
    authorizer = Authorizer(options.administrator, sessions) if options.administrator else None
    home, minutes = options.home.absolute(), (options.seconds_per_minute, options.queue_minutes)
    server = AwsServer(home, options.port, *minutes, authorizer)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    serving = threading.Thread(target=server.serve, daemon=True)
    serving.start()
    print(server.url, flush=True)
    ended.wait()
    server.stop()


if __name__ == "__main__":
    main()
