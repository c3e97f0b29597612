"""Whether levels are as rare as they say: raises on streams whose habits never change, where each one is chance.

A level that asks for once in p days should be raised 1/p times a day, and on a stream with fewer episodes than that as
often as there are episodes. Asked without floors and counts, which only make it rarer. Then the rule as it is: a fresh
start in a calm market, and 1,500 instruments at once. Last the same streams by the surprise rule. All seeds are fixed.
"""

from collections.abc import Callable, Iterator, Sequence
from math import inf

import numpy as np
from msgspec import Struct

from benchmarks.freshstart import SCOPES, highest_steps
from benchmarks.measure import TINY, Figure, Scale
from benchmarks.stationary import DAY_MS, Streams, streams
from benchmarks.surprises import STEPS, surprise_raises
from liqtape.engine.levels.streamlevel import INSTRUMENT, LevelSteps, StreamLevel
from liqtape.engine.levels.surpriselevels import LevelRule

__all__ = ["Alone", "Raises", "follow", "most_by_chance", "poisson_interval", "run", "watched"]

RATES = {820.0: 240, 84.0: 700, 8.0: 2_000, 0.9: 6_000}
"""Events a day, and how many streams of that rate are watched for five weeks."""

PERIODS = (0.25, 1.0, 7.0)
PLAIN = LevelSteps(INSTRUMENT.seed_usd, inf, PERIODS, (0.0,) * 3, (1,) * 3, INSTRUMENT.tail_exponent)
"""The rule of instruments without floors, counts and cap."""

LEAST, MOST = 0.5, 1.25
"""Raises against the smaller of nominal and all episodes."""

MIXTURE = {820.0: 15, 84.0: 135, 8.0: 500, 0.9: 850}
"""1,500 instruments: events a day, and how many of them."""

SURPRISED = {820.0: 50, 84.0: 200, 8.0: 800, 0.9: 3_000}
"""Events a day, and how many streams of that rate are judged by surprise for a week."""

CALM_SEEDS = 20
UNSHOWN = ("instruments at a venue",)
"""Told without a bound: a row shows the level of its instrument over all venues."""

_CALM_SECONDS = 600
_WEEK_DAYS = 7
_WEEKS = 5
_TOGETHER_EVENTS = 1_500_000  # of streams drawn at once, for memory
_SEED = 1
_MINUTES_A_WEEK = 10_080
_STEPS = len(INSTRUMENT.periods_days)


class Raises(Struct):
    """Raises of each step, and all episodes, in one span of the streams' lives."""

    from_ms: int
    until_ms: float
    raises: list[int]
    episodes: int = 0

    def is_in(self, at_ms: int) -> bool:
        return self.from_ms <= at_ms < self.until_ms


class Alone(Struct):
    """Episodes of one stream told apart by looking at all of it: no thresholds, nothing of the engine."""

    peak: float = 0.0
    due_ms: float = inf
    top: int = 0

    def opens(self, at_ms: int, usd: float) -> bool:
        """One more minute; whether an episode begins with it."""
        if at_ms >= self.due_ms:
            self.peak, self.due_ms = 0.0, inf
        if usd <= 0.0 or 2 * usd < self.peak:
            return False
        is_new = self.peak == 0.0
        if is_new:
            self.top = 0
        self.peak, self.due_ms = max(self.peak, usd), at_ms + 300_000
        return is_new


def follow(lot: Streams, steps: LevelSteps, spans: Sequence[Raises]) -> None:
    """Count into `spans` what a fresh `StreamLevel` says on each stream, and the episodes it could have said it of."""
    for number in range(lot.count):
        level, alone = StreamLevel(steps), Alone()
        level.up(0)
        for at_ms, usd, count in lot.minutes(number):
            is_new = alone.opens(at_ms, usd)
            reached = level.look(at_ms, usd, count)
            if is_new or reached:
                for span in spans:
                    if span.is_in(at_ms):
                        span.episodes += is_new
                        for step in range(alone.top, reached):
                            span.raises[step] += 1
                alone.top = max(alone.top, reached)


def watched(per_day: float, count: int, days: float) -> Iterator[Streams]:
    """The streams of one rate, as many at a time as fit into memory."""
    together = max(1, int(_TOGETHER_EVENTS / (per_day * days)))
    for first in range(0, count, together):
        yield streams(_SEED + first, per_day, min(together, count - first), days)


def poisson_interval(count: int) -> tuple[float, float]:
    """The means that a count does not speak against at 95 % (Garwood): each end leaves 2.5 % beyond.

    >>> [round(end, 2) for end in poisson_interval(10)], [round(end, 2) for end in poisson_interval(0)]
    ([4.8, 18.39], [0.0, 3.69])
    """
    high = _root(lambda mean: _at_most(count, mean) - 0.025, count, 2 * count + 10)
    return (_root(lambda mean: _at_most(count - 1, mean) - 0.975, 0, count) if count else 0.0), high


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return low


def _at_most(count: int, mean: float) -> float:
    """P(N <= count) of a Poisson variable."""
    k = np.arange(1, count + 1)
    logs = np.concatenate(([0.0], np.cumsum(np.log(mean / k)))) if mean else np.array([0.0])
    return float(np.exp(logs - mean).sum())


def most_by_chance(mean: float) -> int:
    """The largest count whose 95 % interval still reaches down to `mean`."""
    count = int(mean)
    while poisson_interval(count + 1)[0] <= mean:
        count += 1
    return count


def _figure(
    name: str,
    count: int,
    live_time: float,
    unit: str,
    measured: str,
    bounds: tuple[float | None, float | None] = (None, None),
) -> Figure:
    low, high = poisson_interval(count)
    return Figure(name, count / live_time, low / live_time, high / live_time, unit, measured, *bounds)


def _of_rate(scale: Scale, per_day: float, count: int) -> list[Figure]:
    first = Raises(0, DAY_MS, [0] * len(PERIODS))
    later = Raises(_WEEK_DAYS * DAY_MS, inf, [0] * len(PERIODS))
    for lot in watched(per_day, count, _WEEK_DAYS * _WEEKS):
        follow(lot, PLAIN, (first, later))
    weeks = count * (_WEEKS - 1)
    found = []
    for step, days in enumerate(PERIODS):
        nominal, every = _WEEK_DAYS / days, later.episodes / weeks
        smaller, raised = min(nominal, every), later.raises[step] / weeks
        found.append(
            _figure(
                f"{per_day:g} a day, once in {_period(days)}: raises",
                later.raises[step],
                weeks,
                "a week",
                f"nominal {nominal:g}, all episodes {every:.3g} a week: {raised / smaller:.2f} of the smaller; "
                f"{weeks} stream-weeks after seven days, 95 % interval",
                (LEAST * smaller, MOST * smaller) if scale != TINY else (None, None),
            )
        )
    for step, days in enumerate(PERIODS):
        most = most_by_chance(count / days) / count if scale != TINY else None
        found.append(
            _figure(
                f"{per_day:g} a day, once in {_period(days)}: raises of the first day",
                first.raises[step],
                count,
                "a day",
                f"nominal {1 / days:.3g}, all episodes {first.episodes / count:.3g} a day; {count} fresh streams, "
                "95 % interval",
                (None, most),
            )
        )
    return found


def _size(scale: Scale, full: int) -> int:
    return max(2, round(full * scale.events))


def _period(days: float) -> str:
    return f"{24 * days:g} h" if days < 1 else f"{days:g} d"


def _mixed(scale: Scale) -> list[Figure]:
    """The rule as it is over many instruments at once."""
    spans = {
        "first day": Raises(0, DAY_MS, [0] * _STEPS),
        "days 2 to 7": Raises(DAY_MS, _WEEK_DAYS * DAY_MS, [0] * _STEPS),
        "after that": Raises(_WEEK_DAYS * DAY_MS, 3 * _WEEK_DAYS * DAY_MS, [0] * _STEPS),
    }
    counts = {per_day: _size(scale, count) for per_day, count in MIXTURE.items()}
    for per_day, count in counts.items():
        for lot in watched(per_day, count, 3 * _WEEK_DAYS):
            follow(lot, INSTRUMENT, tuple(spans.values()))
    mixture = ", ".join(f"{count} of {per_day:g}" for per_day, count in counts.items())
    return [
        _figure(
            f"{sum(counts.values())} instruments, {rarity}: {name}",
            span.raises[step],
            (span.until_ms - span.from_ms) / DAY_MS,
            "a day",
            f"floors, counts and cap as they are; {mixture} events a day; {span.episodes} episodes, 95 % interval",
        )
        for rarity, span in spans.items()
        for step, name in enumerate(STEPS)
    ]


def _calm(scale: Scale) -> list[Figure]:
    """The rule as it is in its first minutes, over all instruments of the simulated market."""
    seeds = range(1, 1 + (2 if scale == TINY else CALM_SEEDS))
    seconds = _CALM_SECONDS if scale != TINY else 60
    starts = [highest_steps("calm", seed, seconds) for seed in seeds]
    return [
        _figure(
            f"fresh start in a calm market, {baseline}: above WATCH",
            sum(highest[baseline] > 1 for highest in starts),
            1,
            "starts",
            f"of {len(starts)} seeds, {seconds} s each, floors, counts and cap as they are; highest step "
            f"{max(highest[baseline] for highest in starts)}; 95 % interval",
            (None, None if baseline in UNSHOWN or scale == TINY else 0.0),
        )
        for baseline in SCOPES
    ]


def _by_surprise(per_day: float, count: int) -> list[Figure]:
    """What the surprise rule makes of streams of one rate, in the week after a day of learning."""
    plain = LevelRule(alert_count=0, floor_usd=0.0)
    raises = np.zeros((2, len(STEPS)), np.int64)
    for lot in watched(per_day, count, _WEEK_DAYS + 1):
        for number in range(lot.count):
            raises += surprise_raises(lot, number, (plain, LevelRule()), DAY_MS)
    found = []
    for step, (name, surprise) in enumerate(zip(STEPS, (plain.watch, plain.alert, plain.critical), strict=True)):
        nominal = _MINUTES_A_WEEK * 10**-surprise
        ruled = int(raises[1][step])
        low, high = poisson_interval(ruled)
        found.append(
            _figure(
                f"{per_day:g} a day, surprise >= {surprise:g}: raises",
                int(raises[0][step]),
                count,
                "a week",
                f"nominal {nominal:.3g}; with its count and USD as {name} {ruled / count:.3g} "
                f"({low / count:.3g} .. {high / count:.3g}); {count} stream-weeks after a day, 95 % interval",
            )
        )
    return found


def run(scale: Scale) -> list[Figure]:
    """All figures; those of the level rule have bounds, except at the tiny scale."""
    found = []
    for per_day, count in RATES.items():
        found += _of_rate(scale, per_day, _size(scale, count))
    found += _calm(scale) + _mixed(scale)
    for per_day, count in SURPRISED.items():
        found += _by_surprise(per_day, _size(scale, count))
    return found
