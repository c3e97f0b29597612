"""How rare the rarest thing of a moment must be to wake a person: learned, so that so many threads a week open.

A return period divided by the number of scopes that are watched is how often something as rare is met by any of them,
were they independent and their tails right. Neither holds: computed from that, a budget of 3 gave 609 threads a week.
So z = 1000 T / N is taken for a stream of its own, and a thread opens where z reaches what it reaches `budget` times a
week (metrics 5b, "Messages").
"""

from math import inf

from liqtape.engine.levels.episodes import EpisodeHistogram, StreamState
from liqtape.engine.levels.streamlevel import StreamLevel, message_steps

__all__ = ["MARKET_GROUP", "MessageBudget"]

MARKET_GROUP = 2
"""Scopes in the group of the market: itself, and its breadth."""

_SCALE = 1_000.0


class MessageBudget:
    """The stream of z, `groups` being two, or three where the user named instruments.

    >>> budget = MessageBudget(3.0)
    >>> budget.up(0)
    >>> budget.look(86_400_000, 30.0, MARKET_GROUP), budget.look(86_401_000, 31.0, MARKET_GROUP)
    (True, False)
    """

    def __init__(self, per_week: float, groups: int = 2) -> None:
        self.per_week = per_week
        self._stream = StreamLevel(message_steps(per_week, groups))

    def up(self, at_ms: int) -> None:
        """Begin to watch."""
        self._stream.up(at_ms)

    def down(self, at_ms: int) -> None:
        """Stop to watch: an open episode is over."""
        self._stream.down(at_ms)

    def shift(self, by_ms: int) -> None:
        """Move all moments that are kept: the clock took a step."""
        self._stream.shift(by_ms)

    def look(self, at_ms: int, return_days: float, group_size: int) -> bool:
        """Look at a scope at its highest; returns whether that opens a thread."""
        return self._stream.look(at_ms, _SCALE * return_days / max(1, group_size), 1) > 0

    def wakes_at_days(self, group_size: int, at_ms: int) -> float | None:
        """Return the return period from which a scope of a group opens a thread; None before anything was watched.

        While an episode of z is open that is what it was compared with: it does not move its own bar.
        """
        if self._stream.is_open:
            z = self._stream.thresholds[0]
        else:
            steps = self._stream.steps
            histogram = EpisodeHistogram(steps.seed_usd, steps.tail_exponent)
            histogram.restore(self._stream.kept(at_ms), 0)
            z = histogram.threshold(7.0 / self.per_week)
        return None if z == inf else z * max(1, group_size) / _SCALE

    def watched_ms(self, at_ms: int) -> int:
        """Return how long was watched since the start of this run."""
        return self._stream.watched_ms(at_ms)

    def watched_days(self, at_ms: int) -> float:
        """Return the decayed watched days it learned from."""
        return self._stream.decayed_days(at_ms)

    def state(self, at_ms: int) -> StreamState:
        """Return what is to be kept, and go on."""
        return self._stream.kept(at_ms)

    def restore(self, state: StreamState) -> None:
        """Go on where `state` was taken."""
        self._stream.restore(state)
