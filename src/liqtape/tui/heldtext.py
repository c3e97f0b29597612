"""Standard error while the screen is taken: kept in lines, and written when the screen is given back."""

import io
import logging
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from liqtape.tui.fullscreen import write_soon

__all__ = ["HeldText", "held_stderr"]

_LIMIT = 10_000  # lines


class HeldText(io.TextIOBase):
    """A text stream that keeps the newest lines, and counts those that it had to drop."""

    def __init__(self, limit: int = _LIMIT) -> None:
        self.dropped_total = 0
        self._lines: deque[str] = deque(maxlen=limit)
        self._rest = ""
        self._lock = threading.Lock()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._rest = (self._rest + text).split("\n")
            self.dropped_total += max(0, len(self._lines) + len(lines) - (self._lines.maxlen or 0))
            self._lines.extend(lines)
        return len(text)

    def newest(self, count: int) -> list[str]:
        """Return the newest lines, the newest at the end."""
        with self._lock:
            return list(self._lines)[-count:] if count else []

    def text(self) -> str:
        """Return all that is kept, after a line that says what is not."""
        with self._lock:
            dropped = [f"({self.dropped_total:,} earlier lines were dropped)"] if self.dropped_total else []
            return "\n".join([*dropped, *self._lines, self._rest])


@contextmanager
def held_stderr() -> Iterator[HeldText]:
    """Hold what is logged or written to standard error inside the block, where that is a terminal."""
    held, real = HeldText(), sys.stderr
    if not real.isatty():
        yield held
        return
    handlers = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler) and handler.stream is real
    ]
    for handler in handlers:
        handler.setStream(held)
    sys.stderr = held
    try:
        yield held
    finally:
        sys.stderr = real
        for handler in handlers:
            handler.setStream(real)
        write_soon(held.text(), real)
