"""The sealing of closed hours as a strand: hours are short there, and every step can be the last."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from chaos.virtual.strands import Strands
from chaos.virtual.world import VirtualWorld

from liqtape.errors import ConfigurationError
from liqtape.history.archive.archiver import Archiver
from liqtape.history.archive.retention import retain
from liqtape.sqlitedamage import is_damage

__all__ = ["CLOSED_AFTER_MS", "HOUR_MS", "VirtualArchiver"]

HOUR_MS = 120_000
CLOSED_AFTER_MS = 360_000
"""Beyond the longest window: what a start takes back is not sealed yet."""

_STEP_SECONDS = 0.02
_DAY_MS = 86_400_000


class _Terminated(BaseException):
    """The child is told to end."""


class VirtualArchiver:
    """What `ArchiverProcess` is for the log; the child is a strand, killed with the rest or told to end."""

    def __init__(self, world: VirtualWorld, strands: Callable[[], Strands], directory: Path, days: float) -> None:
        self.state = "waiting"
        self.rounds = 0
        self._world = world
        self._strands = strands
        self._directory = directory
        self._days = days
        self._due_ms = 0
        self._child: Any = None
        self._is_ending = self._found_damage = False

    def take_damage(self) -> bool:
        """Return whether a round found that the database is damaged; once."""
        found, self._found_damage = self._found_damage, False
        return found

    def turn(self, now_ms: int) -> None:
        """Begin a round when it is due."""
        if now_ms >= self._due_ms and (self._child is None or not self._child.is_alive()):
            self._due_ms = now_ms - now_ms % HOUR_MS + HOUR_MS
            self._child = self._strands().Thread(lambda: self._round(now_ms), name="archiver")
            self._child.start()

    def stop(self, seconds: float = 2.0) -> None:
        """End a round that runs."""
        self._is_ending = True
        if self._child is not None:
            self._child.join(seconds)

    def _round(self, now_ms: int) -> None:
        try:
            with closing(Archiver(self._directory, self._step)) as archiver:
                sealed = archiver.seal(now_ms)
                retain(self._directory, archiver.connection, round(now_ms - self._days * _DAY_MS), 1 << 40)
        except _Terminated:
            return
        except (ConfigurationError, sqlite3.Error) as error:
            self._found_damage = is_damage(error)
            self.state = f"failing: {error}"
        else:
            self.state = "sealed"
            self._world.note(f"sealed {sealed}")
        self.rounds += 1

    def _step(self, _: str) -> None:
        self._strands().sleep(_STEP_SECONDS)
        if self._is_ending:
            raise _Terminated
