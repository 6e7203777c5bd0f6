"""Ctrl-C and SIGTERM: the first signal asks the training to stop, the second ends it at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class StopRequests:
    """While in use (`with`), records a request to stop instead of ending the process.

    Attributes:
        received: the number of the signal received, or None.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.received: int | None = None
        self.before: dict[int, Any] = {}

    def __enter__(self) -> StopRequests:
        # Python lets only the main thread set handlers; in other threads nothing changes.
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.signal(number, self.note) for number in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self.restore()

    def note(self, number: int, _: FrameType | None) -> None:
        self.received = number
        self.restore()

    def restore(self) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before = {}
