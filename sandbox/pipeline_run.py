"""`make run`."""

from sandbox.lifecycle import Sandbox


def run(sandbox: Sandbox, *, data: str | None, params: str | None) -> int:
    sandbox.start()
    return 0
