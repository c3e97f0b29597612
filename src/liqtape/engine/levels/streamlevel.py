"""The level of one stream: its episodes, what of its past they reach, and how it comes down again.

A look, after each event of the stream, costs three comparisons; thresholds are worked out once an episode.

    USD of 60 s
      |            P
      |           /\\                   episode A                      | episode B
      |    P/2 - /- \\- - - - /\\ - -                                  |
      |   /\\   /     \\     /  \\                                      |    /\\
      +--/--\\-/-------\\---/----\\-------------------------------------+---/--\\--> t
        opens                  |<------------- 300 s ---------------->| due
                          last look with x >= P/2                     counts with P, once
"""

from math import exp2, inf
from typing import Any

from msgspec import Struct

from liqtape.engine.levels.episodes import DAY_MS, HALF_LIFE_DAYS, EpisodeHistogram, StreamState, bin_of, decayed

__all__ = [
    "BREADTH",
    "EXTREME_STEP",
    "HOLD_MS",
    "INSTRUMENT",
    "LEARNING_DAYS",
    "LEAST_MEAN_DAYS",
    "MARKET_STEPS",
    "QUIET_MS",
    "VENUE",
    "LevelSteps",
    "StreamLevel",
    "message_steps",
]

LEARNING_DAYS = 7.0
"""Decayed watched days below which a stream is still learning."""

HOLD_MS = 60_000
"""Watched time in a row below half of a level's threshold after which it comes down by one."""

EXTREME_STEP = 4
"""The step of 30 days: shown as CRITICAL, except by the rule of EXTREME."""

LEAST_MEAN_DAYS = 1 / 24
"""Decayed watched days before a mean minute means anything."""

QUIET_MS = 300_000
"""An episode is over when for so long no look reached half its peak."""

_LEAST_USD = 5e-324
_LEAST_LEARNED_MS = 60_000
_CAPPED_STEPS = 3
_MINUTES_A_DAY = 1_440


class LevelSteps(Struct, frozen=True):
    """What the steps of a stream ask for: return periods in days, USD and events within 60 s that they need at least.

    `seed_usd` is the peak of the one episode assumed before any was seen. While learning, `learning_cap_usd` caps the
    thresholds of the first three steps: so much is unusual whatever was seen. `tail_exponent` is of the Pareto tail.
    """

    seed_usd: float
    learning_cap_usd: float
    periods_days: tuple[float, ...] = (0.25, 1.0, 7.0, 30.0)
    floors_usd: tuple[float, ...] = (1_000.0, 10_000.0, 100_000.0, 1_000_000.0)
    least_counts: tuple[int, ...] = (1, 3, 3, 3)
    tail_exponent: float = 0.8


INSTRUMENT = LevelSteps(3_000.0, 50e6)
VENUE = LevelSteps(100_000.0, 200e6)
MARKET_STEPS = LevelSteps(300_000.0, 200e6)
BREADTH = LevelSteps(4.0, inf, floors_usd=(3.0, 3.0, 5.0, 8.0), least_counts=(1, 1, 1, 1), tail_exponent=2.0)
"""Of the number of instruments that rose within 60 s, in place of USD."""


def message_steps(budget_per_week: float, groups: int = 2) -> LevelSteps:
    """Return the one step of the stream of message scores: so many threads a week over that many groups."""
    return LevelSteps(1_000.0 * groups, inf, (7.0 / budget_per_week,), (0.0,), (1,), 1.0)


class StreamLevel:
    """Looks at a stream's USD and count of 60 s and says which step they reach; learns from its own episodes.

    `level` is the present step, 0 to the number of steps. Times are event times in ms that never go back. Only time
    between `up` and `down` is watched: it alone decays the past, and brings a level down.

    >>> stream = StreamLevel(INSTRUMENT)
    >>> stream.up(0)
    >>> [stream.look(5_000 + i, 17e6 * (i + 1), i + 1) for i in range(4)]
    [0, 0, 3, 0]
    """

    __slots__ = (
        "_below_since_ms",
        "_computed_ms",
        "_is_stale",
        "_up_ms",
        "_watched_ms",
        "due_ms",
        "histogram",
        "keep",
        "key",
        "largest_usd",
        "level",
        "next_up",
        "peak",
        "risen_from",
        "steps",
        "thresholds",
        "top",
    )

    def __init__(self, steps: LevelSteps, key: Any = None) -> None:
        self.steps = steps
        self.key: Any = key  # what the owner calls it
        self.histogram = EpisodeHistogram(steps.seed_usd, steps.tail_exponent)
        self.level = 0
        self.peak = 0.0  # of the open episode; 0 while none is
        self.keep = _LEAST_USD  # what keeps it open: half its peak; while none is open, anything opens one
        self.due_ms: float = inf  # when it is over, if nothing keeps it
        self.thresholds: tuple[float, ...] = (inf,) * len(steps.periods_days)
        self.largest_usd = 0.0
        self.next_up = inf  # the threshold of the next step
        self.top = 0  # the highest step of this episode
        self.risen_from = 0  # and what it was before the last raise
        self._watched_ms = 0  # before `_up_ms`
        self._up_ms: int | None = None
        self._computed_ms = 0  # watched time at which thresholds were last worked out
        self._is_stale = True
        self._below_since_ms: float = inf  # in watched time

    @property
    def is_open(self) -> bool:
        """Whether an episode is open."""
        return self.peak > 0.0

    @property
    def is_up(self) -> bool:
        """Whether the stream is watched now."""
        return self._up_ms is not None

    @property
    def is_learning(self) -> bool:
        """Whether fewer than seven decayed days were watched."""
        return self.histogram.days < LEARNING_DAYS

    def watched_ms(self, at_ms: int) -> int:
        """Return how long the stream was watched up to that time."""
        return self._watched_ms + (0 if self._up_ms is None else max(0, at_ms - self._up_ms))

    def up(self, at_ms: int) -> None:
        """Begin to watch; a second `up` changes nothing."""
        if self._up_ms is None:
            self._up_ms = at_ms

    def down(self, at_ms: int) -> None:
        """Stop to watch: an open episode is over, and what comes next is another one."""
        if self._up_ms is not None:
            self._finalize(int(min(self.due_ms, at_ms)))
            self._watched_ms += max(0, at_ms - self._up_ms)
            self._up_ms = None

    def shift(self, by_ms: int) -> None:
        """Move all moments that are kept: the clock of the evaluation took a step."""
        self.due_ms += by_ms
        if self._up_ms is not None:
            self._up_ms += by_ms

    def look(self, at_ms: int, usd: float, count: int) -> int:
        """Look after an event: USD and events of the 60 s that end at `at_ms`.

        Returns the step reached if it is above the highest of this episode, else 0.
        """
        if at_ms >= self.due_ms:
            self._finalize(int(self.due_ms))
        if usd < self.keep:
            return 0
        if self.peak == 0.0:
            self._open(at_ms)
        self.due_ms = at_ms + QUIET_MS
        if usd > self.peak:
            self.peak, self.keep = usd, 0.5 * usd
        return self._rise(usd, count) if usd >= self.next_up else 0

    def tick(self, at_ms: int, usd: float) -> int:
        """Let time pass, once a second while the level is above 0 or an episode is open; returns the level."""
        if at_ms >= self.due_ms:
            self._finalize(int(self.due_ms))
        if self.level and usd >= 0.5 * self.thresholds[self.level - 1]:
            self._below_since_ms = inf
        elif self.level:
            watched_ms = self.watched_ms(at_ms)  # without a feed nobody knows that it is calm
            if self._below_since_ms == inf:
                self._below_since_ms = watched_ms
            if watched_ms - self._below_since_ms >= HOLD_MS:
                self.level -= 1
                self._below_since_ms = watched_ms
                self.next_up = self.thresholds[self.level] if self.is_open else inf
        return self.level

    def state(self, at_ms: int) -> StreamState:
        """Return what is kept at a stop: an open episode is over, as at a gap."""
        self.down(at_ms)
        self._finalize(int(min(self.due_ms, at_ms)))  # of events that came while the feed was down
        self.histogram.decay_to(self._watched_ms)
        return self.histogram.state(self.largest_usd)

    def kept(self, at_ms: int) -> StreamState:
        """Return what `state` would return at that time, and go on as if nobody had asked."""
        watched_ms = self.watched_ms(at_ms)
        state = decayed(
            self.histogram.state(self.largest_usd), max(0, watched_ms - self.histogram.decayed_to_ms) / DAY_MS
        )
        if not self.is_open:
            return state
        bins, number = dict(state.bins), bin_of(self.peak)
        since_ms = watched_ms - self.watched_ms(int(min(self.due_ms, at_ms)))
        bins[number] = bins.get(number, 0.0) + exp2(-since_ms / DAY_MS / HALF_LIFE_DAYS)
        return StreamState(state.days, dict(sorted(bins.items())), state.usd, max(self.largest_usd, self.peak))

    def restore(self, state: StreamState) -> None:
        """Go on where `state` ended."""
        self.histogram.restore(state, self._watched_ms)
        self.largest_usd = state.largest_usd
        self._is_stale = True

    def decayed_days(self, at_ms: int) -> float:
        """Return the decayed watched days as of that time."""
        return self.histogram.decayed_at(self.watched_ms(at_ms))[0]

    def mean_minute_usd(self, at_ms: int) -> float | None:
        """Return the USD of a mean watched minute, decayed like all; None before one hour was watched."""
        days, usd = self.histogram.decayed_at(self.watched_ms(at_ms))
        return usd / (days * _MINUTES_A_DAY) if days >= LEAST_MEAN_DAYS else None

    def _open(self, at_ms: int) -> None:
        watched_ms = self.watched_ms(at_ms)
        learned_ms = watched_ms - self._computed_ms
        if self._is_stale or learned_ms > max(_LEAST_LEARNED_MS, 0.01 * self.histogram.days * DAY_MS):
            self.histogram.decay_to(watched_ms)
            self.thresholds = self._worked_out()
            self._is_stale, self._computed_ms = False, watched_ms
        self.top, self.next_up = 0, self.thresholds[0]

    def _rise(self, usd: float, count: int) -> int:
        reached = 0
        for threshold, least in zip(self.thresholds, self.steps.least_counts, strict=True):
            if usd < threshold or count < least:
                break
            reached += 1
        self._below_since_ms = inf
        self.level = max(self.level, reached)
        self.next_up = self.thresholds[reached] if reached < len(self.thresholds) else inf
        if reached <= self.top:
            return 0
        self.risen_from, self.top = self.top, reached
        return reached

    def _finalize(self, at_ms: int) -> None:
        if self.peak > 0.0:
            if self.peak >= 0.5 * self.thresholds[0] or self.histogram.days < 1.0:
                self._is_stale = True
            self.histogram.decay_to(self.watched_ms(at_ms))
            self.histogram.add(self.peak)
            self.largest_usd = max(self.largest_usd, self.peak)
        self.peak, self.keep, self.due_ms, self.next_up = 0.0, _LEAST_USD, inf, inf

    def _worked_out(self) -> tuple[float, ...]:
        steps, histogram = self.steps, self.histogram
        cap = steps.learning_cap_usd if self.is_learning else inf
        return tuple(
            max(floor, min(histogram.threshold(period), cap if place < _CAPPED_STEPS else inf))
            for place, (period, floor) in enumerate(zip(steps.periods_days, steps.floors_usd, strict=True))
        )
