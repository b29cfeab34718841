"""Runs one command and ends with it: `python run_script.py COMMAND…`.

The command gets a session of its own. When standard input ends, because the server has closed it or has died in any
way, this program ends the command's whole process group, including a JVM that the command has started.
"""

import os
import signal
import subprocess
import sys
import threading

GRACE_SECONDS = 5


def main(command: list[str]) -> int:
    """Returns the command's exit status, or 128 + n if signal n ended it."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=_end_with_standard_input, args=(process,), daemon=True).start()
    status = process.wait()
    _signal_group(process.pid, signal.SIGKILL)  # ends the processes that the command left behind
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
        return  # the group has no processes any more


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGINT):
        # Only the end of standard input ends the program. The handler is not SIG_IGN, which the command would inherit.
        signal.signal(number, lambda *_: None)
    sys.exit(main(sys.argv[1:]))
