"""A row of all metrics, from the venue windows it is to sum over: of an instrument, of one of its venues, of the
market.
"""

from collections.abc import Collection, Sequence
from math import fsum, sqrt
from operator import add
from typing import Any

from msgspec import Struct

from liqtape.engine.baseline.surprise import Score
from liqtape.engine.levels.returnperiods import Rarity
from liqtape.engine.windows.forms import Accelerated
from liqtape.engine.windows.slotrate import corrected_rate
from liqtape.engine.windows.venuewindows import ThrottledVenueWindows, VenueWindows
from liqtape.events import WINDOWS, Level, VelocityMetrics
from liqtape.money import MICRO

__all__ = ["Evaluation", "RowCoverage", "RowOf", "RowPrices", "Sums", "row", "summed"]

_NOTHING = (0,) * (2 * len(WINDOWS))
_CURSORS = tuple(enumerate(WINDOWS, start=1))  # cursor k of a column bounds window WINDOWS[k - 1]


class Sums(Struct, frozen=True, gc=False):
    """(counts, then micro-USD) of 10, 30, 60 and 300 s; `every` with those that name no side.

    `moment` is (count, sum of times in ms) of the last 20 s, as if all venue windows stood at one time: see `summed`.
    """

    long: Sequence[int]
    short: Sequence[int]
    sided: Sequence[int]
    every: Sequence[int]
    moment: tuple[int, int]

    @property
    def window_counts(self) -> tuple[int, int, int]:
        """The counts that have a baseline: of 10, 60 and 300 s."""
        every = self.every
        return every[0], every[2], every[3]

    @property
    def usd_60s(self) -> float:
        return self.every[6] / MICRO


class RowOf(Struct, frozen=True, gc=False):
    """Whose row it is, as of when; without a venue it sums over all of them."""

    symbol: str
    venue: str | None
    now_ms: int


class RowPrices(Struct, frozen=True, gc=False):
    """What every row says of BTC."""

    btc: float | None
    source: str | None
    volatility_factor: float | None
    volatility_coverage: float | None = None


class RowCoverage(Struct, frozen=True, gc=False):
    """How much of the windows was seen, and how many events came after an evaluation they belonged to."""

    coverage: Sequence[float | None]
    is_partial: bool
    late_total: int


class Evaluation(Struct, frozen=True, gc=False):
    """What the stream's past says; `score` of 60 s (None: nothing was watched), `rate` in liquidations/s.

    `fanos` are those of 10, 60 and 300 s, 1 where they are not known. `rarity` is there where levels are return
    periods.
    """

    score: Score | None
    rate: float
    level: Level
    rarity: Rarity | None = None
    fanos: Sequence[float] = (1.0, 1.0, 1.0)


def summed(all_venue_windows: Collection[VenueWindows], now_ms: int) -> Sums:
    """Return the sums of venue windows, each at the evaluation time it stands at.

    For `moment` their times become `now_ms`.
    """
    sides: list[Sequence[int]] = [_NOTHING] * 3
    count = sum_ms = 0
    for venue_windows in all_venue_windows:
        behind_ms = now_ms - venue_windows.now_ms
        for which, column in enumerate(venue_windows.columns):
            if column.settled_times:
                total, part = sides[which], column.windows()
                sides[which] = part if total is _NOTHING else list(map(add, total, part))
                recent, part_ms = column.recent(behind_ms)
                count += recent
                sum_ms += part_ms
    long, short, unsided = sides
    sided = list(map(add, long, short))
    every = sided if unsided is _NOTHING else list(map(add, sided, unsided))
    return Sums(long, short, sided, every, (count, sum_ms))


def _estimates(
    all_venue_windows: Collection[VenueWindows], velocities: Sequence[float]
) -> tuple[Sequence[float], bool]:
    """Return the velocities with the throttled venues corrected, and whether any of them was saturated."""
    if not any(isinstance(venue_windows, ThrottledVenueWindows) for venue_windows in all_venue_windows):
        return velocities, False
    rates: list[float] = []
    saturated = False
    for k, seconds in _CURSORS:
        plain = 0
        corrected: list[float] = []
        for venue_windows in all_venue_windows:
            if isinstance(venue_windows, ThrottledVenueWindows):
                slots = corrected_rate(seconds, venue_windows.taken(k, 1000 * seconds, venue_windows.now_ms))
                corrected.append(slots.rate)
                saturated |= slots.saturated
            else:
                plain += sum(column.count(k) for column in venue_windows.columns)
        # One rounding: the order in which the venues were first seen must not show.
        rates.append(fsum([plain / seconds, *corrected]))
    return rates, saturated


def _rarity_fields(rarity: Rarity | None) -> tuple[float | None, float | None, float | None, bool | None]:
    """Return what a row says of the stream's past, in the order of its fields."""
    if rarity is None:
        return None, None, None, None
    return rarity.times_usual, rarity.return_days, rarity.watched_days, rarity.is_learning


def _of(*fields: str) -> list[str]:
    """Return the names of fields that there are for each window."""
    return [f"{field}_{seconds}s" for field in fields for seconds in WINDOWS]


# A record made by keywords costs 2 us of the 30 that a row takes. So the values are given by position, and their names
# stand here in the same order: a field that is added, dropped or moved elsewhere is found when this is loaded.
_NAMES = (
    *("symbol", "timestamp"),
    *_of("event_count", "velocity"),
    *("acceleration", "total_value_usd", "btc_price", "volatility_factor"),
    *_of("usd_velocity", "long_count", "short_count", "long_usd", "short_usd"),
    "acceleration_se",
    *_of("coverage", "velocity_est"),
    *("saturated", "surprise", "level", "late_total", "partial", "btc_source"),
    *_of("velocity_se", "imbalance_count", "imbalance_usd"),
    *("acceleration_z", "surprise_mean", "surprise_fano", "venue"),
    *("times_usual", "return_days", "watched_days", "is_learning", "volatility_coverage"),
)
if VelocityMetrics.__struct_fields__ != _NAMES:
    raise TypeError("the names of a row's values are not the fields of VelocityMetrics")


def row(  # noqa: PLR0913, PLR0917 - the parts a row is made of
    whose: RowOf,
    all_venue_windows: Collection[VenueWindows],
    sums: Sums,
    accelerated: Accelerated,
    prices: RowPrices,
    seen: RowCoverage,
    evaluation: Evaluation,
) -> VelocityMetrics:
    """Return the row; its values stand in the order of `_NAMES`."""
    long, short = sums.long, sums.short
    n10, n30, n60, n300, u10, u30, u60, u300 = sums.every
    velocities = (n10 / 10, n30 / 30, n60 / 60, n300 / 300)
    rates, saturated = _estimates(all_venue_windows, velocities)
    score = evaluation.score
    f10, f60, f300 = evaluation.fanos
    values: tuple[Any, ...] = (
        whose.symbol,
        whose.now_ms / 1000,
        n10,
        n30,
        n60,
        n300,
        *velocities,
        accelerated.value,
        u300 / MICRO,
        prices.btc,
        prices.volatility_factor,
        u10 / (10 * MICRO),
        u30 / (30 * MICRO),
        u60 / (60 * MICRO),
        u300 / (300 * MICRO),
        *long[:4],
        *short[:4],
        *[micro / MICRO for micro in long[4:]],
        *[micro / MICRO for micro in short[4:]],
        accelerated.error,
        *seen.coverage,
        *rates,
        saturated,
        None if score is None else score.surprise,
        evaluation.level,
        seen.late_total,
        seen.is_partial,
        prices.source,
        sqrt(f10 * n10) / 10,
        sqrt(f60 * n30) / 30,  # 30 s have no baseline; F grows with the window, so that of 60 s is no understatement
        sqrt(f60 * n60) / 60,
        sqrt(f300 * n300) / 300,
        # Of the counts, then of the USD; None where there is nothing to compare.
        *[(a - b) / both if both else None for a, b, both in zip(long, short, sums.sided, strict=True)],
        accelerated.z(evaluation.rate),
        None if score is None else score.mean,
        None if score is None else score.fano,
        whose.venue,
        *_rarity_fields(evaluation.rarity),
        prices.volatility_coverage,
    )
    return VelocityMetrics(*values)
