"""What each level rule would have said on real days, against cascades that were labelled without it.

`python -m benchmarks realdays` prints figures, `python -m benchmarks.realdays` the table that
docs/explanation/metrics.md shows. The files are other people's and not in the repository: without them nothing is
measured, and a line says so.

A label is an interval in which the USD of a minute were five times those of the hour before; those of severity 2 and 3
that a second rule agrees with. A raise from 120 s before its start to 30 s after its end meets it; a raise that meets
none is false. Thresholds in liquidations or USD take their number from the earlier half of the watched time; there, all
rules are judged on the later half. Files without cascades in both halves are judged whole, without these thresholds.
"""

import csv
import statistics
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import inf, sqrt
from pathlib import Path

from msgspec import Struct

from benchmarks.calibration import Alone, poisson_interval
from benchmarks.measure import TINY, Figure, Scale
from liqtape.engine import VelocityEngine
from liqtape.engine.levels.returnperiods import MARKET_KEY, StreamKey
from liqtape.engine.levels.surpriselevels import LevelRule
from liqtape.engine.levels.threshold import Threshold
from liqtape.errors import ConfigurationError
from liqtape.eventfiles.eventtable import EventRow, EventTable
from liqtape.eventfiles.readers import load
from liqtape.eventfiles.replay import steps
from liqtape.events import Level

__all__ = [
    "HEAD",
    "HISTORY",
    "SETS",
    "Cascade",
    "Minute",
    "RealDays",
    "Scored",
    "Watched",
    "lines",
    "proportion_interval",
    "run",
    "score",
    "tuned",
]

HISTORY = Path(__file__).resolve().parents[2] / "shared" / "data" / "history"
"""Beside the checkout: `../shared/data/history`."""

HEAD = (
    "| rule | raises: a day | onsets met | of severity 3 | false raises: a day | median after the onset |",
    "|---|---|---|---|---|---|",
)

_BEFORE_MS, _AFTER_MS = 120_000, 30_000
_DAY_MS = 86_400_000
_MINUTE_MS = 60_000
_LEAST_SEVERITY = 2
_WORST = 3
_Z = 1.959964
_LEVELS: tuple[Level, ...] = ("NONE", "WATCH", "ALERT", "CRITICAL", "EXTREME")
_STEPS = (("WATCH", 0.25), ("ALERT", 1.0), ("CRITICAL", 7.0))
_ALL = "ALL"


class RealDays(Struct, frozen=True):
    """One file of past liquidations. `is_halved`: with cascades enough to learn from its first half."""

    stem: str
    told: str
    is_market: bool = False
    is_halved: bool = False

    @property
    def half(self) -> str:
        return ", the later half of the watched time" if self.is_halved else ""


SETS = (
    RealDays("bitmex_xbtusd_20200416_20200508", "BitMEX XBTUSD, 16 April to 8 May 2020", is_halved=True),
    RealDays("aave_wbtc_20220212_20230630", "Aave WBTC loans, 12 February 2022 to 30 June 2023"),
    RealDays("binance_btcusdt_20241204", "Binance BTCUSDT, 4 December 2024"),
    RealDays("binance_all_20251211_0136_0230", "Binance, all symbols, 11 December 2025", is_market=True),
)


class Cascade(Struct, frozen=True):
    """One label."""

    start_ms: int
    end_ms: int
    severity: int

    def is_met_by(self, at_ms: int) -> bool:
        return self.start_ms - _BEFORE_MS <= at_ms <= self.end_ms + _AFTER_MS


class Watched(Struct, frozen=True):
    """When somebody watched, as intervals in order."""

    spans: Sequence[tuple[int, int]]

    @property
    def days(self) -> float:
        return sum(until - begin for begin, until in self.spans) / _DAY_MS

    def holds(self, at_ms: int) -> bool:
        return any(begin <= at_ms <= until for begin, until in self.spans)

    def halves(self) -> tuple["Watched", "Watched"]:
        """Return the earlier and the later half of the watched time."""
        left = sum(until - begin for begin, until in self.spans) // 2
        for place, (begin, until) in enumerate(self.spans):
            if until - begin >= left:
                cut = begin + left
                return Watched([*self.spans[:place], (begin, cut)]), Watched([(cut, until), *self.spans[place + 1 :]])
            left -= until - begin
        return self, Watched([])


class Scored(Struct, frozen=True):
    """What a rule did in some watched time."""

    days: float
    raises: int
    onsets: int
    met: int
    worst: int
    worst_met: int
    false: int
    late_s: float | None


def score(raises_ms: Sequence[int], cascades: Sequence[Cascade], watched: Watched) -> Scored:
    """Return how the raises of that time stand to the cascades that began in it."""
    within = [at_ms for at_ms in raises_ms if watched.holds(at_ms)]
    onsets = [cascade for cascade in cascades if watched.holds(cascade.start_ms)]
    first = [next((at_ms for at_ms in within if cascade.is_met_by(at_ms)), None) for cascade in onsets]
    late = [(at_ms - one.start_ms) / 1_000 for one, at_ms in zip(onsets, first, strict=True) if at_ms is not None]
    return Scored(
        watched.days,
        len(within),
        len(onsets),
        len(late),
        sum(one.severity >= _WORST for one in onsets),
        sum(one.severity >= _WORST and at_ms is not None for one, at_ms in zip(onsets, first, strict=True)),
        sum(not any(cascade.is_met_by(at_ms) for cascade in cascades) for at_ms in within),
        statistics.median(late) if late else None,
    )


def proportion_interval(part: int, whole: int) -> tuple[float, float]:
    """Return the 95 % interval of a proportion (Wilson 1927).

    >>> [round(end, 3) for end in proportion_interval(49, 76)]
    [0.533, 0.743]
    """
    if not whole:
        return 0.0, 1.0
    share, more = part / whole, _Z * _Z / whole
    centre, reach = share + more / 2, _Z * sqrt(share * (1 - share) / whole + more / (4 * whole))
    return max(0.0, (centre - reach) / (1 + more)), min(1.0, (centre + reach) / (1 + more))


class Minute(Struct, frozen=True):
    at_ms: int
    usd: float
    count: int


def _minutes(table: EventTable) -> list[Minute]:
    """USD and events of the 60 s that end at each event, all of the tape together."""
    order = table.in_order()
    times = [table.times_ms[i] for i in order]
    usd = [table.event(i).notional_usd or 0.0 for i in order]
    found, tail, total = [], 0, 0.0
    for head, at_ms in enumerate(times):
        total += usd[head]
        while times[tail] <= at_ms - _MINUTE_MS:
            total -= usd[tail]
            tail += 1
        found.append(Minute(at_ms, total, head + 1 - tail))
    return found


def _raises_above(minutes: Sequence[Minute], of: Callable[[Minute], float], least: float) -> list[int]:
    """When a fixed threshold is reached first in each episode; episodes are those of the levels."""
    alone, found, is_told = Alone(), [], False
    for minute in minutes:
        if alone.opens(minute.at_ms, of(minute)):
            is_told = False
        if not is_told and of(minute) >= least:
            found.append(minute.at_ms)
            is_told = True
    return found


def tuned(minutes: Sequence[Minute], of: Callable[[Minute], float], target: float) -> float:
    """Return the lowest threshold that raises at most `target` times; the highest value where each raises more."""
    alone, peaks = Alone(), []
    for minute in minutes:
        if alone.opens(minute.at_ms, of(minute)):
            peaks.append(0.0)
        peaks[-1] = max(peaks[-1], of(minute))
    values = sorted(set(peaks))
    return next((value for value in values if sum(peak >= value for peak in peaks) <= target), max(values, default=inf))


def _by_return_period(table: EventTable, watched: Watched, *, is_market: bool) -> dict[str, list[int]]:
    engine = VelocityEngine()
    levels = engine.levels
    assert levels is not None  # the default rule
    instruments = {table.event(i).instrument for i in range(len(table))}
    key = MARKET_KEY if is_market else StreamKey(None, min(instruments))
    found: dict[str, list[int]] = {level: [] for level, _ in _STEPS}
    for _ in steps(table, 60, watched.spans, engine):
        for one in levels.take_raises():
            if one.key == key:
                for level in _LEVELS[one.above + 1 : min(one.step, len(_STEPS)) + 1]:
                    found[level].append(one.at_ms)
    return found


def _by_alerts(table: EventTable, watched: Watched, rule: LevelRule | Threshold) -> dict[str, list[int]]:
    """Return when the level of the one instrument of the tape went up, to the second."""
    found: dict[str, list[int]] = {level: [] for level, _ in _STEPS}
    for step in steps(table, 60, watched.spans, VelocityEngine(rule=rule)):
        for alert in step.alerts:
            for level in _LEVELS[_LEVELS.index(alert.previous) + 1 : _LEVELS.index(alert.level) + 1]:
                found.setdefault(level, []).append(alert.at_ms)
    return found


def _together(table: EventTable) -> EventTable:
    """The same events as of one instrument: the older rules know no level of the market."""
    found = EventTable()
    for i in table.in_order():
        event = table.event(i)
        found.take(
            EventRow(
                event.event_ms,
                event.venue,
                _ALL,
                _ALL,
                event.side,
                event.price,
                event.quantity,
                event.notional_usd,
            )
        )
    return found


def _cascades(file: Path) -> list[Cascade]:
    with file.open(newline="", encoding="utf-8") as opened:
        return [
            Cascade(int(row["start_ms"]), int(row["end_ms"]), int(row["severity"]))
            for row in csv.DictReader(opened)
            if (row["scope"], row["rule"], row["agree"]) == (_ALL, "rate", "1")
            and int(row["severity"]) >= _LEAST_SEVERITY
        ]


def _watched(one: RealDays, table: EventTable) -> Watched:
    """When the recorder ran, by its coverage file; else from the first event to the last."""
    file = HISTORY / f"coverage_{one.stem}.csv"
    if not file.exists():
        return Watched([(min(table.times_ms), max(table.times_ms))])
    with file.open(newline="", encoding="utf-8") as opened:
        spans = [(int(row["start_ms"]), int(row["end_ms"])) for row in csv.DictReader(opened)]
    if any(after[0] < before[1] for before, after in pairwise(spans)):
        raise ConfigurationError(f"{file}: intervals overlap")
    return Watched(spans)


def _scores(one: RealDays) -> dict[str, Scored]:
    """Return by rule what it did, on the later half where there is one."""
    table = load(HISTORY / f"{one.stem}.parquet")
    cascades, watched = _cascades(HISTORY / f"{one.stem}.labels.csv"), _watched(one, table)
    earlier, later = watched.halves() if one.is_halved else (Watched([]), watched)
    alone = _together(table) if one.is_market else table
    new = _by_return_period(table, watched, is_market=one.is_market)
    surprise = _by_alerts(alone, watched, LevelRule())
    minutes = _minutes(table)
    before = [minute for minute in minutes if earlier.holds(minute.at_ms)]
    found = {"founding thresholds": score(_by_alerts(alone, watched, Threshold())["ALERT"], cascades, later)}
    for level, least_s in zip(surprise, (3, 4, 6), strict=False):
        found[f"surprise, `{level}` (S >= {least_s})"] = score(surprise[level], cascades, later)
    for rarity, of in (("count", _count_of), ("USD", _usd_of)):
        for period, days in (("6 h", 0.25), ("1 d", 1.0)):
            if one.is_halved:
                least = tuned(before, of, earlier.days / days)
                name = f"{rarity} of 60 s, at least {least:,.0f} (once in {period} before)"
                found[name] = score(_raises_above(minutes, of, least), cascades, later)
    for level, days in _STEPS:
        found[f"return period, `{level}` (once in {_period(days)})"] = score(new[level], cascades, later)
    if one.is_halved:
        for level, _ in _STEPS:
            found[f"the same, both halves, from a fresh start, `{level}`"] = score(new[level], cascades, watched)
    return found


def _count_of(minute: Minute) -> float:
    return float(minute.count)


def _usd_of(minute: Minute) -> float:
    return minute.usd


def _period(days: float) -> str:
    return f"{24 * days:g} h" if days < 1 else f"{days:g} d"


def _is_there(one: RealDays) -> bool:
    return all((HISTORY / f"{one.stem}.{kind}").exists() for kind in ("parquet", "labels.csv"))


def _present(sets: Sequence[RealDays]) -> list[RealDays]:
    found = [one for one in sets if _is_there(one)]
    for one in sets:
        if one not in found:
            print(f"realdays: {HISTORY / one.stem}.* is not there: not measured", file=sys.stderr)
    return found


def _figures(rarity: str, rule: str, one: Scored) -> list[Figure]:
    low, high = proportion_interval(one.met, one.onsets)
    late = "" if one.late_s is None else f", median {one.late_s:.0f} s after their start"
    few, many = poisson_interval(one.false)
    return [
        Figure(
            f"{rarity}: {rule}: onsets met",
            one.met / max(1, one.onsets),
            low,
            high,
            "of all",
            f"{one.met} of {one.onsets}, {one.worst_met} of {one.worst} of severity 3{late}; 95 % interval",
        ),
        Figure(
            f"{rarity}: {rule}: false raises",
            one.false / one.days,
            few / one.days,
            many / one.days,
            "a day",
            f"{one.false} of {one.raises} raises in {one.days:.2f} watched days; 95 % interval",
        ),
    ]


def run(scale: Scale) -> list[Figure]:
    """The figures of every file that is there; at the tiny scale of the shortest one."""
    found = []
    for one in _present(SETS[-1:] if scale == TINY else SETS):
        for rule, scored in _scores(one).items():
            found += _figures(one.told, rule, scored)
    return found


def _line(rule: str, one: Scored) -> str:
    low, high = (f"{100 * end:.0f}" for end in proportion_interval(one.met, one.onsets))
    late = "" if one.late_s is None else f"{one.late_s:.0f} s"
    return (
        f"| {rule} | {_rate(one.raises, one.days)} | {one.met} of {one.onsets} ({low} .. {high} %) "
        f"| {one.worst_met} of {one.worst} | {_rate(one.false, one.days)} | {late} |"
    )


def _rate(count: int, days: float) -> str:
    """A number, and how many a day that is with its 95 % interval; of less than a day the number alone."""
    if days < 1:
        return str(count)
    low, high = (end / days for end in poisson_interval(count))
    return f"{count}: {count / days:.2f} ({low:.2f} .. {high:.2f})"


def lines(one: RealDays) -> list[str]:
    """Return the rows that the table of docs/explanation/metrics.md has of a file."""
    scores = _scores(one)
    first = next(iter(scores.values()))
    days = f"{first.days:.2f} days" if first.days >= 1 else f"{24 * 60 * first.days:.0f} minutes"
    kept = {rule: scored for rule, scored in scores.items() if first.days >= 1 or "CRITICAL" not in rule}
    return [f"| **{one.told}{one.half}, {days}** | | | | | |", *(_line(rule, scored) for rule, scored in kept.items())]


def main() -> None:
    """Print the table, of the files that are there."""
    print("\n".join([*HEAD, *(line for one in _present(SETS) for line in lines(one))]))


if __name__ == "__main__":
    main()
