"""Where the lives of feeds stand in windows: the engine is told, and again when a clock turns out to be another."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from liqtape.engine.velocity import VelocityEngine
from liqtape.pipeline.clock import AHEAD_MS, EventClock

__all__ = ["EVER_MS", "LAG_MS", "FeedLives"]

EVER_MS = 1 << 62
"""The common time where there is no clock."""

LAG_MS = 5_000
"""A stamp of the present that is older than this is of another clock."""

_FOLLOWED_MS = 500  # a shift that changes by less follows its clock


class _Rise(Struct):
    """Since when a feed that is live is so: by its venue's clock, by the common time of then, and for the engine."""

    at_ms: int
    t_ms: int
    window_ms: int


class FeedLives:
    """Gives moments of the venues' clocks their place in windows, which is a moment less the `clock`'s shift.

    A feed is told up just when it is, and never lost in the future: a stamp that says otherwise is of a clock that has
    just stepped, and the common time stands for it. That may be the wrong one, too:

        bybit, 10 s behind, is known first      O = -10 s     okx, up at 100 s by its stamp, can only be so at 90 s
        binance and okx say that it is wrong    O =   0       then okx is live since 100 s, and was not at 90 s

    So since when a feed is live is told again when clocks have become known, or stepped. When an earlier run's feeds
    were live is told by stamps, before any clock is known, and again once that of the venue is: while nobody looked the
    clock is taken to have gone on as before, unless the feed would then have lived longer than that run.
    """

    def __init__(self, engine: VelocityEngine, clock: EventClock | None) -> None:
        self._engine = engine
        self._clock = clock
        self._rises: dict[str, _Rise] = {}
        self._recalled: dict[str, Sequence[tuple[int, int]]] = {}  # of venues whose clock is not known
        self._recalled_ms = 0  # our time

    def shift_ms(self, venue: str) -> int:
        """Return what is taken off a moment of the venue's clock."""
        return 0 if self._clock is None else self._clock.shift_ms(venue)

    def past_ms(self, venue: str, at_ms: int, t_ms: int) -> int:
        """Return where a moment that is over stands when the common time is `t_ms`."""
        return min(at_ms - self.shift_ms(venue), t_ms + AHEAD_MS)

    def present_ms(self, venue: str, at_ms: int, t_ms: int) -> int:
        """Return where the present moment stands when the common time is `t_ms`."""
        window_ms = at_ms - self.shift_ms(venue)
        return window_ms if self._clock is None or t_ms - LAG_MS <= window_ms <= t_ms + AHEAD_MS else t_ms

    def up(self, venue: str, at_ms: int, t_ms: int) -> int:
        """Tell that a feed is live; return where that stands in windows."""
        window_ms = self.present_ms(venue, at_ms, t_ms)
        self._engine.feed_up(venue, window_ms)
        if t_ms != EVER_MS:
            self._rises.setdefault(venue, _Rise(at_ms, t_ms, window_ms))  # a second one changes nothing
        return window_ms

    def down(self, venue: str, at_ms: int, t_ms: int) -> None:
        """Tell that a feed is lost."""
        self._rises.pop(venue, None)
        self._engine.feed_down(venue, self.past_ms(venue, at_ms, t_ms))

    def recalled(self, spans: Mapping[str, Sequence[tuple[int, int]]], our_ms: int) -> None:
        """Note when an earlier run's feeds were live, (up, down) by the venues' stamps, as the engine has it."""
        if self._clock is not None and not self._clock.is_started:
            self._recalled, self._recalled_ms = dict(spans), our_ms

    def moved(self, by_ms: int, by_venue: Mapping[str, int]) -> None:
        """Note that the common time has stepped, and that what the engine has of a venue has moved by so much."""
        for venue, rise in self._rises.items():
            rise.t_ms += by_ms
            rise.window_ms += by_venue.get(venue, 0)

    def reassess(self) -> set[str]:
        """Tell again since when each feed is live, where the clocks now say something else; return those venues."""
        moved = self.place_recalled()
        for venue, rise in self._rises.items():
            told_ms, right_ms = rise.window_ms, self.present_ms(venue, rise.at_ms, rise.t_ms)
            if abs(right_ms - told_ms) > _FOLLOWED_MS:
                rise.window_ms = right_ms
                moved.add(venue)
            # Also where it stays: what lay ahead of a wrong time the engine has forgotten when that stepped.
            self._engine.feed_up_again(venue, told_ms, rise.window_ms)
        return moved

    def place_recalled(self) -> set[str]:
        """Place what an earlier run's feeds were by the clocks that have become known; return those venues."""
        moved: set[str] = set()
        if not self._recalled or self._clock is None or not self._clock.is_started:
            return moved
        ended_ms = self._clock.t_ms(self._recalled_ms)  # that run did, at the latest
        for venue in self._recalled.keys() & self._clock.skews.keys():
            spans, shift_ms = self._recalled.pop(venue), self.shift_ms(venue)
            if max(down_ms for _, down_ms in spans) - shift_ms > ended_ms + AHEAD_MS:
                shift_ms = 0  # its clock was set since
            self._engine.feed_placed(venue, [(up_ms - shift_ms, down_ms - shift_ms) for up_ms, down_ms in spans])
            if (rise := self._rises.get(venue)) is not None:
                self._engine.feed_up_again(venue, rise.window_ms, rise.window_ms)
            moved.add(venue)
        return moved
