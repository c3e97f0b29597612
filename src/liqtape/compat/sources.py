"""A wrapped stream as a source: its life, its state, and what its events do not say."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from liqtape.compat import attach
from liqtape.compat.alerts import ROOT
from liqtape.compat.wrapped import MISSING, Declared, Reading, read_event
from liqtape.sanitize import sanitize

__all__ = ["DECLARATIONS", "Source"]

DECLARATIONS: tuple[Declared, ...] = ("order", "position")

SILENT_SECONDS = 60.0
"""A source that brought nothing for so long is called silent."""

FAILED_SECONDS = 1.0
ENDED_SECONDS = 4.0
LONGEST_SECONDS = 60.0
"""Pauses before a source is started again: the first after an error, the first after an end; doubled up to the last."""

_MISSING_TEXTS = {
    "side": (
        "events of {name} do not say which position was closed ('buy' and 'sell' mean the order in some libraries and "
        'the position in others: declare it, add_cex_exchange({name!r}, stream=..., side="order" or "position"))'
    ),
    "usd": "events of {name} do not say their value in USD: they count, with 0 USD",
    "time": "events of {name} do not say their time: that of receipt is taken",
}

_log = logging.getLogger(__name__)  # levels and texts of the manager's own logger are the founding document's
_root_log = logging.getLogger(ROOT)


class Source:
    """One wrapped stream, of the venue `name` where its events say none, called `label` in what is shown.

    Its events are given to `hook`.
    `live` runs it, and again with growing pauses when it ends or raises. `events`, `missing` (by `MISSING`) and
    `restarts` count; what an event does not say is told once.
    """

    def __init__(self, name: str, side: Declared | None = None, label: str = "") -> None:
        self.name = name
        self.label = label or name
        self.side = side
        self.stream: Any = None
        self.hook: Callable[[Any], Any] = lambda _: attach.DONE
        self.events = 0
        self.missing: Counter[str] = Counter()
        self.restarts = 0
        self._has_run = False
        self._trouble = ""  # "ended" or "failing", until it brings something or has run for a while
        self._began: float | None = None  # of the run that lasts, by the monotonic clock
        self._newest: float | None = None  # when the newest event came, by the same
        self._since = time.time()  # of the newest event, else of the start

    def read(self, event: Any) -> Reading:
        """Read an event of this source, and count what it does not say. Raises ValueError where it names no symbol."""
        self.events += 1
        self._newest, self._since, self._trouble = time.monotonic(), time.time(), ""
        reading = read_event(event, self.name, self.side)
        for fact in reading.missing:
            if not self.missing[fact]:
                _log.warning("%s; told once, and counted", _MISSING_TEXTS[fact].format(name=sanitize(self.name)))
            self.missing[fact] += 1
        return reading

    @property
    def state(self) -> str:
        """`live`, `silent since ...`, `ended` or `failing`; `not started` before."""
        now = time.monotonic()
        if self._has_run and self._began is None and not self._trouble:
            return "ended"
        is_steady = self._began is not None and now - self._began >= SILENT_SECONDS
        if self._trouble and not is_steady:
            return self._trouble
        if self._newest is not None and now - self._newest < SILENT_SECONDS:
            return "live"
        if self.stream is not None and not self._has_run:
            return "not started"
        return f"silent since {datetime.fromtimestamp(self._since, UTC):%Y-%m-%dT%H:%M:%SZ}"

    def stats(self) -> dict[str, Any]:
        """Return the counts and the state."""
        facts = {f"no_{fact}": self.missing[fact] for fact in MISSING}
        return {"state": self.state, "events": self.events, **facts, "restarts": self.restarts}

    async def live(self, note: Callable[[str, BaseException | None], None]) -> None:
        """Run the stream for ever; cancel it to end. A stranger's stream is ended by `attach.end`."""
        kind, attempts, self._has_run, self._since = type(self.stream).__name__, 0, True, time.time()
        try:
            while True:
                began = self._began = time.monotonic()
                trouble, pause = await self._run(kind, note)
                task = asyncio.current_task()
                if task is not None and task.cancelling():  # a stream that swallowed it ends all the same
                    return
                attempts = 0 if time.monotonic() - began >= SILENT_SECONDS else attempts
                pause = min(LONGEST_SECONDS, pause * 2**attempts)
                _root_log.info("the stream %s (%s) %s; starting it again in %g s", self.name, kind, trouble, pause)
                came = -1
                while came != self.events:  # what still brings events lives, in a way that did not show
                    came = self.events
                    await asyncio.sleep(pause)
                attempts = min(attempts + 1, 10)
                self.restarts += 1
        finally:
            self._began, self._trouble = None, ""

    async def _run(self, kind: str, note: Callable[[str, BaseException | None], None]) -> tuple[str, float]:
        """Run it once; what became of it, and the first pause after that."""
        try:
            await attach.run(self.stream, self.hook)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the task supervisor of streams that are not ours
            note(f"{kind}: {type(error).__name__}: {error}", error)
            self._trouble = "failing"
            return self._trouble, FAILED_SECONDS
        self._trouble = "ended"
        return self._trouble, ENDED_SECONDS
