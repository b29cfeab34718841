"""Processes that die half-way, at a moment of the test's choice."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

WRITES = frozenset({"PutObject", "CopyObject", "DeleteObject", "UploadPart", "CompleteMultipartUpload"})


class Died(BaseException):
    """The process was killed: it does nothing more, not even clear up."""


class Death:
    """Lets so many events pass and kills whatever comes after them, until it is called off. Threads share one death."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: int | None = None

    def arm(self, events: int | None) -> None:
        """Strike after so many events; never after None."""
        self._left = events

    @contextmanager
    def after(self, events: int | None) -> Iterator[None]:
        """Strike after so many events of the block, if there are so many."""
        self.arm(events)
        try:
            yield
        finally:
            self.arm(None)

    def strikes(self) -> bool:
        """Whether this event, which is about to happen, is one too many."""
        with self._lock:
            if self._left is None:
                return False
            self._left -= 1
            return self._left < 0

    def at_writes(self, operations: frozenset[str] = WRITES) -> Callable[..., None]:
        """A handler of botocore's event `before-call.s3` whose events are the calls of these operations."""

        def handler(model: Any, **_: object) -> None:
            if model.name in operations and self.strikes():
                raise Died

        return handler
