"""Faults by name, and when they strike: seeded, on the scenario's timeline, without a clock."""

import random
from collections.abc import Sequence
from typing import Literal, get_args

__all__ = ["CLOSE_CODES", "FAULTS", "INCIDENTS", "Fault", "Faults", "Incident"]

Incident = Literal["stall", "bad_close", "http_error", "no_pong", "notice"]
"""What befalls a whole venue for some seconds: acknowledged, then silent; connections closed with any code; handshakes
and REST refused; pongs withheld; connections announced to be closed, and closed.
"""

Fault = Literal[
    "duplicate", "cut", "torn", "unknown_topic", "wrong_types", "nan", "late", "very_late", "first_again", "reorder",
    "stale_snapshot", "refused_topic", "stall", "bad_close", "http_error", "no_pong", "notice",
]  # fmt: skip
"""A liquidation frame sent twice; one connection cut; four kinds of garbage; events that arrive 0 to 2 s late; a few
that arrive 1 to 8 min late; the last message of a channel sent again to whoever subscribes it; liquidation frames that
overtake each other; snapshots without their newest part; a topic of liquidations refused once by OKX and by Bybit; and
the incidents. Lateness of minutes and the last message again are OKX's, stale snapshots Hyperliquid's.
"""

FAULTS: tuple[str, ...] = get_args(Fault)
INCIDENTS: tuple[str, ...] = get_args(Incident)

CLOSE_CODES = (1000, 1001, 1002, 1003, 1006, 1008, 1011, 1012, 1013, 1014, 1015, 3000, 4004, 4999, 999, 65535)
"""Usual ones, some that must not be sent, and some that are none."""

_GARBAGE = ("torn", "unknown_topic", "wrong_types", "nan")
_DUPLICATED = 0.1
_CUT_AT_MS = 12_000
_GARBAGE_EVERY_MS = 1_500
_LATE = 0.2
_LATEST_MS = 2_000
_VERY_LATE = 0.03
_VERY_LATE_MS = (60_000, 480_000)
_REORDERED = 0.2
_INCIDENT_EVERY_MS = 8_000
_STALE = 0.4
_ONLY_OF = {"very_late": "okx", "first_again": "okx", "stale_snapshot": "hyperliquid"}


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
        self._incident_ms = float(_INCIDENT_EVERY_MS)

    def of(self, venue: str) -> "Faults":
        """The same faults for a venue with a market of its own; theirs strike by their own dice."""
        return Faults(self._given, self._seed, venue)

    @property
    def repeats_last(self) -> bool:
        """Whether a new subscriber gets the last message of the channel again."""
        return "first_again" in self._names

    @property
    def refuses_topic(self) -> bool:
        """Whether a topic of liquidations is refused once."""
        return "refused_topic" in self._names

    def duplicates(self) -> bool:
        """Whether the liquidation frame just sent is sent once more."""
        return "duplicate" in self._names and self._random.random() < _DUPLICATED

    def overtaken(self) -> bool:
        """Whether a liquidation frame waits until the next ones have gone."""
        return "reorder" in self._names and self._random.random() < _REORDERED

    def stale(self, rows: int) -> int:
        """How many of a snapshot's newest rows are missing."""
        return round(rows * self._random.uniform(0.0, _STALE)) if "stale_snapshot" in self._names else 0

    def incident(self, at_ms: float, venues: Sequence[str]) -> tuple[str, str, random.Random] | None:
        """The incident that begins now, the venue it befalls, and the dice for the rest of it."""
        kinds = [kind for kind in INCIDENTS if kind in self._names]
        if not kinds or at_ms < self._incident_ms:
            return None
        self._incident_ms = at_ms + _INCIDENT_EVERY_MS * self._random.uniform(0.5, 1.5)
        return self._random.choice(kinds), self._random.choice(list(venues)), self._random

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
