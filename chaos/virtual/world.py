"""The time of a simulated world: it stands still while anybody computes, and jumps to the next thing that happens."""

import hashlib
import heapq
import random
from collections.abc import Callable

from msgspec import Struct

__all__ = ["START_NS", "VirtualWorld"]

START_NS = 1_793_577_600_000_000_000
"""2 November 2026, 00:00 UTC; a world begins in the hour behind it."""


class _Due(Struct, order=True):
    at_ns: int
    order: int
    action: Callable[[], None]


class VirtualWorld:
    """One heap of what is to happen, one die, one trace. Of one moment happens first what was planned first.

    `wall_ns` is what the clock on our wall says, which may be wrong and may step; `now_ns` is what is true.
    """

    def __init__(self, seed: int, *, keeps_trace: bool = False) -> None:
        self.dice = random.Random(f"virtual:{seed}")
        self.now_ns = self._start_ns = START_NS + self.dice.randrange(3_600) * 1_000_000_000
        self.wall_offset_ns = 0
        self.lines: list[str] | None = [] if keeps_trace else None
        self.steps = 0
        self._due: list[_Due] = []
        self._planned = 0
        self._trace = hashlib.blake2b(digest_size=16)

    @property
    def now_ms(self) -> int:
        """True time."""
        return self.now_ns // 1_000_000

    @property
    def wall_ns(self) -> int:
        """What the clock on our wall says."""
        return self.now_ns + self.wall_offset_ns

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return (self.now_ns - self._start_ns) / 1e9

    @property
    def digest(self) -> str:
        """Which execution this is, so far."""
        return self._trace.hexdigest()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Plan an action."""
        self._planned += 1
        heapq.heappush(self._due, _Due(self.now_ns + max(0, round(seconds * 1e9)), self._planned, action))

    def advance(self, until_ns: int | None, is_wanted: Callable[[], bool]) -> None:
        """Let happen what happens until then, or until somebody is wanted; all of one moment happens together."""
        due = self._due
        while due and (until_ns is None or due[0].at_ns <= until_ns):
            if due[0].at_ns > self.now_ns:
                if is_wanted():
                    return
                self.now_ns = due[0].at_ns
            self.steps += 1
            heapq.heappop(due).action()
        if until_ns is None and not is_wanted():
            raise RuntimeError("nothing will ever happen again")
        if until_ns is not None and not is_wanted():
            self.now_ns = max(self.now_ns, until_ns)

    def note(self, text: str) -> None:
        """Write down what happened."""
        line = f"{self.seconds:.6f} {text}"
        self._trace.update(line.encode())
        if self.lines is not None:
            self.lines.append(line)
