"""Runs one command and ends with it: `python run_script.py COMMAND…`.

The command gets a session of its own. When standard input reaches its end, because the server asked for it or because
the server is gone, however it died, the command's process group is ended: a JVM below it, too.
"""

import os
import signal
import subprocess
import sys
import threading

GRACE_SECONDS = 5


def main(command: list[str]) -> int:
    """Returns the command's exit status, 128 + n when signal n ended it."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=_end_with_standard_input, args=(process,), daemon=True).start()
    status = process.wait()
    _signal_group(process.pid, signal.SIGKILL)  # whatever the command left behind
    return status if status >= 0 else 128 - status


def _end_with_standard_input(process: subprocess.Popen[bytes]) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    _signal_group(process.pid, signal.SIGTERM)
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        _signal_group(process.pid, signal.SIGKILL)


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return  # nobody left


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGINT):
        # The end of standard input is what counts. Not SIG_IGN: the command would inherit it.
        signal.signal(number, lambda *_: None)
    sys.exit(main(sys.argv[1:]))
