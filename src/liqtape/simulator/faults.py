"""Faults by name, and when they strike: seeded, on the scenario's timeline, without a clock."""

import random
from collections.abc import Sequence
from typing import Literal, get_args

__all__ = ["FAULTS", "Fault", "Faults"]

Fault = Literal["duplicate", "cut", "torn", "unknown_topic", "wrong_types", "nan", "late", "very_late", "first_again"]
"""A liquidation frame sent twice; one connection cut; four kinds of garbage; events that arrive 0 to 2 s late; a few
that arrive 1 to 8 min late; the last message of a channel sent again to whoever subscribes it. The last two are OKX's.
"""

FAULTS: tuple[str, ...] = get_args(Fault)

_GARBAGE = ("torn", "unknown_topic", "wrong_types", "nan")
_DUPLICATED = 0.1
_CUT_AT_MS = 12_000
_GARBAGE_EVERY_MS = 1_500
_LATE = 0.2
_LATEST_MS = 2_000
_VERY_LATE = 0.03
_VERY_LATE_MS = (60_000, 480_000)
_ONLY_OF = {"very_late": "okx", "first_again": "okx"}


class Faults:
    """Decides which faults strike now; names nobody knows are refused with `ValueError`."""

    def __init__(self, names: Sequence[str], seed: int, venue: str = "") -> None:
        unknown = sorted(set(names) - set(FAULTS))
        if unknown:
            raise ValueError(f"unknown fault {', '.join(unknown)}: known are {', '.join(FAULTS)}")
        self._given = tuple(names)
        self._seed = seed
        self._names = frozenset(name for name in names if _ONLY_OF.get(name, venue) == venue)
        self._random = random.Random(f"{seed}:faults:{venue}" if venue else f"{seed}:faults")
        self._cut_pending = "cut" in self._names
        self._garbage_ms = float(_GARBAGE_EVERY_MS)

    def of(self, venue: str) -> "Faults":
        """The same faults for a venue with a market of its own; theirs strike by their own dice."""
        return Faults(self._given, self._seed, venue)

    @property
    def repeats_last(self) -> bool:
        """Whether a new subscriber gets the last message of the channel again."""
        return "first_again" in self._names

    def duplicates(self) -> bool:
        """Whether the liquidation frame just sent is sent once more."""
        return "duplicate" in self._names and self._random.random() < _DUPLICATED

    def delay_ms(self) -> int:
        """How late the next liquidation reaches its publisher."""
        if "very_late" in self._names and self._random.random() < _VERY_LATE:
            return self._random.randint(*_VERY_LATE_MS)
        if "late" not in self._names or self._random.random() >= _LATE:
            return 0
        return self._random.randint(1, _LATEST_MS)

    def cuts(self, at_ms: float) -> bool:
        """Whether a connection is cut now; true once."""
        if not self._cut_pending or at_ms < _CUT_AT_MS:
            return False
        self._cut_pending = False
        return True

    def garbage(self, at_ms: float) -> str | None:
        """The kind of garbage to send now, in turn."""
        kinds = [kind for kind in _GARBAGE if kind in self._names]
        if not kinds or at_ms < self._garbage_ms:
            return None
        self._garbage_ms = at_ms + _GARBAGE_EVERY_MS
        return self._random.choice(kinds)
