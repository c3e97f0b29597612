"""What a detector is: the liquidations of one stream in, the moments at which it says "cascade" out."""

from typing import Protocol

from msgspec import Struct

from liqtape.engine.levels.returnperiods import StreamKey
from liqtape.events import Liquidation, Side

__all__ = ["Detector", "Signal", "DetectorStanding", "StreamCalm", "StreamSignal"]


class Signal(Struct, frozen=True, gc=False):
    """A detector that was quiet is raised with this event.

    `score` is its statistic then, at least `threshold`; `side` is the side that most of what raised it closed.
    """

    detector: str
    at_ms: int
    score: float
    threshold: float
    side: Side | None = None


class StreamSignal(Struct, frozen=True, gc=False):
    """A signal with the stream it is of: an instrument's, an instrument's at a venue, a venue's, or the market's."""

    key: StreamKey
    signal: Signal


class StreamCalm(Struct, frozen=True, gc=False):
    """The detector of a stream that was raised has come down; `since_ms` is when it was raised."""

    key: StreamKey
    detector: str
    since_ms: int
    at_ms: int


class DetectorStanding(Struct, frozen=True, gc=False):
    """How a detector stands at a moment. `score` is None while it cannot say anything yet."""

    is_raised: bool
    score: float | None
    threshold: float | None


class Detector(Protocol):
    """One detector of one stream: an instrument's, a venue's, or the market's.

    Time is the events' own: `t = max(event_ms, the t before)`; a call never looks at anything later. What it says
    depends on the events and on `up` and `down` alone, never on how often `at` is asked.
    """

    @property
    def name(self) -> str:
        """Its name in the configuration and in signals."""
        ...

    def up(self, at_ms: int) -> None:
        """Note that the stream is watched from then on; where nothing was ever told, it is so from its first event."""
        ...

    def down(self, at_ms: int) -> None:
        """Note that nobody watches the stream from then on: that ends what was raised, and silence means nothing."""
        ...

    def update(self, event: Liquidation) -> Signal | None:
        """Take in an event; return a signal when it raises a detector that was quiet."""
        ...

    def at(self, now_ms: int) -> DetectorStanding:
        """Return how it stands at `now_ms`, not before the newest event; a raised detector comes down by time."""
        ...
