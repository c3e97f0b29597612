"""The writer of a forecast log: takes issues at once, writes them in a thread."""

import asyncio
import logging
from collections import deque
from threading import Lock

from liqtape.events import VenueHealth
from liqtape.forecast.issued import IssuedForecast
from liqtape.forecastlog.issuefiles import IssueFiles

__all__ = ["IssueWriter"]

_MOST_WAITING = 1_000  # nearly three hours
_SYNC_EVERY = 6  # writes, which is a minute

_log = logging.getLogger(__name__)


class IssueWriter:
    """Writes what it is offered within milliseconds. A disk that hangs delays nobody; beyond a bound issues are lost.

    `written` + `lost` + what waits = what was offered. Each sixth write is put on the disk, and the last.
    """

    def __init__(self, files: IssueFiles) -> None:
        self.written = self.lost = 0
        self.trouble = ""
        self._files = files
        self._waiting: deque[IssuedForecast] = deque()
        self._news = asyncio.Event()
        self._since_sync = 0
        self._writing = Lock()  # a write goes on where the task that asked for it was cancelled

    def offer(self, issued: IssuedForecast) -> None:
        """Take an issue."""
        if len(self._waiting) >= _MOST_WAITING:
            self.lost += 1
            return
        self._waiting.append(issued)
        self._news.set()

    async def run(self) -> None:
        """Write what comes, until cancelled."""
        while True:
            await self._news.wait()
            await self.flush()

    async def flush(self) -> None:
        """Write what waits."""
        self._news.clear()
        issues = list(self._waiting)
        self._waiting.clear()
        if not issues:
            return
        try:
            await asyncio.to_thread(self._write, issues)
        except OSError as error:
            self.lost += len(issues)
            if not self.trouble:
                _log.warning("the log of forecasts cannot be written: %s", error)
            self.trouble = f"cannot be written: {error.strerror or error}"
        else:
            self.written += len(issues)
            self.trouble = ""

    async def end(self) -> None:
        """Write what waits, and end the file."""
        await self.flush()
        try:
            await asyncio.to_thread(self._close)
        except OSError as error:
            _log.warning("the end of the log of forecasts cannot be written: %s", error)

    def health(self, now_ms: int) -> VenueHealth:
        """Return how it stands, as a line of what is published about the venues."""
        said = "; ".join(filter(None, [self.trouble, f"{self.lost} forecasts not written" if self.lost else ""]))
        return VenueHealth("forecast log", "failing" if self.trouble else "live", now_ms, None, 0, None, said)

    def _write(self, issues: list[IssuedForecast]) -> None:
        with self._writing:
            self._files.append(issues)
            self._since_sync += 1
            if self._since_sync >= _SYNC_EVERY:
                self._since_sync = 0
                self._files.sync()

    def _close(self) -> None:
        with self._writing:
            self._files.close()
