"""Whether the message budget holds: threads a week over many clustered instruments, from a fresh start and taught.

`python -m benchmarks alarms`. 84 days of 1,500 instruments, and of 50: the first 42 are a fresh start, of levels and of
the budget; the others are what follows once both were taught. A budget holds where the 95 % Poisson interval of the
threads that were counted has it in. Four market shocks are put into another 84 days, one while it is fresh, three in
the 42 days when it is taught: a shock is met where a thread opens, or is open, within its ten minutes. What the stored
real days send is counted from a fresh start, with the coverage that is known; the files are other people's, and without
them nothing is.
"""

import sys
from collections.abc import Sequence

from msgspec import Struct

from benchmarks.calibration import most_by_chance, poisson_interval
from benchmarks.marketdays import MarketDays, market_days
from benchmarks.measure import TINY, Figure, Scale
from benchmarks.realdays import HISTORY
from benchmarks.stationary import DAY_MS
from liqtape.alarms.pastalarms import AlarmReplay
from liqtape.alarms.policy.messagepolicy import MessagePolicy, PolicySettings
from liqtape.alarms.policy.sightings import Scene, sightings
from liqtape.alarmsettings import ChannelSettings
from liqtape.engine import VelocityEngine
from liqtape.engine.levels.returnperiods import MARKET_KEY, Minute, ReturnPeriods, StreamKey
from liqtape.engine.levels.streamlevel import StreamLevel
from liqtape.eventfiles.coveragefile import load_coverage
from liqtape.eventfiles.readers import load
from liqtape.eventfiles.replay import steps

__all__ = ["BUDGETS", "Threads", "least_by_chance", "replayed", "run", "threads_of"]

BUDGETS = (1.0, 3.0, 7.0, 21.0)
DAYS = 42.0
SHOCKS = (20.3, 50.4, 62.7, 75.1)
"""In days: of 84."""

REAL = {
    "binance_all_20251211_0136_0230": "all of Binance, 11 December 2025",
    "binance_btcusdt_20241204": "BTCUSDT at Binance, 4 December 2024",
    "bitmex_xbtusd_20200416_20200508": "XBTUSD at BitMEX, April and May 2020",
    "aave_wbtc_20220212_20230630": "WBTC at Aave, 2022 and 2023",
    "hl_20251010_RECONSTRUCTED_events": "Hyperliquid, 10 October 2025 (reconstructed)",
}

_CHANNELS = {"log": ChannelSettings("log", messages_per_hour=1_000)}
_LOOK_MS = 5_000  # how often the policy looks while something is raised, beside each change of a level
_HIGH_MS = 1_000  # and while something is at ALERT
_ALERT = 2
_SHOCK_MS = 600_000


class Threads(Struct):
    """When threads of a budget opened and ended, and how many messages were made of them."""

    began_ms: list[int] = []
    ended_ms: list[int] = []
    messages: int = 0

    def between(self, from_days: float, until_days: float) -> int:
        return sum(from_days * DAY_MS <= at_ms < until_days * DAY_MS for at_ms in self.began_ms)

    def meets(self, shock_ms: int) -> bool:
        ended_ms = [*self.ended_ms, *[1 << 62] * (len(self.began_ms) - len(self.ended_ms))]
        return any(
            began_ms < shock_ms + _SHOCK_MS and end_ms > shock_ms
            for began_ms, end_ms in zip(self.began_ms, ended_ms, strict=True)
        )


class _Trial:
    """The levels of a simulated market, and policies of several budgets that look at them."""

    def __init__(self, instruments: int, budgets: Sequence[float]) -> None:
        self.levels = ReturnPeriods()
        self.threads = {per_week: Threads() for per_week in budgets}
        self._instruments = instruments
        self._policies = {per_week: MessagePolicy(PolicySettings(per_week, channels=_CHANNELS)) for per_week in budgets}
        self._last: dict[StreamKey, tuple[int, float, int]] = {}
        self._now_ms = self._looked_ms = 0
        self.levels.feed_up("all", 0)
        self._streams: list[StreamLevel] = []
        for one in range(instruments):
            stream = self.levels.stream(StreamKey(None, f"I{one}"), 0)
            stream.up(0)
            self._streams.append(stream)
        for policy in self._policies.values():
            policy.look(Scene(0, instruments=instruments))

    def event(self, one: int, at_ms: int, of_instrument: Minute, of_market: Minute) -> None:
        """Look at an event's streams, whose last 60 s are told."""
        levels, stream = self.levels, self._streams[one]
        while at_ms - self._looked_ms > _LOOK_MS and levels.is_raised():
            self._look(self._looked_ms + _LOOK_MS)
        if at_ms - self._looked_ms > _LOOK_MS:
            self._looked_ms = at_ms  # nothing is raised: nothing to look at
        self._last[stream.key] = (at_ms, *of_instrument)
        self._last[MARKET_KEY] = (at_ms, *of_market)
        levels.look(((stream, *of_instrument),), of_market, at_ms)
        is_high = stream.level >= _ALERT or levels.market.level >= _ALERT
        if levels.has_changed or (is_high and at_ms - self._looked_ms >= _HIGH_MS):
            levels.take_changed()
            self._look(at_ms)

    def _minute_of(self, key: StreamKey) -> Minute:
        at_ms, usd, count = self._last.get(key, (0, 0.0, 0))
        return (usd, count) if self._now_ms - at_ms < 60_000 else (0.0, 0)

    def _look(self, now_ms: int) -> None:
        self._now_ms = self._looked_ms = now_ms
        self.levels.tick(now_ms, self._minute_of)
        scene = Scene(now_ms, sightings(self.levels, self._minute_of), self._instruments)
        for per_week, policy in self._policies.items():
            due_ms = policy.due_ms()
            if due_ms is not None and due_ms < now_ms and not scene.sightings:
                self._note(self.threads[per_week], policy, Scene(due_ms, instruments=self._instruments))
            if scene.sightings or policy.thread is not None:
                self._note(self.threads[per_week], policy, scene)

    @staticmethod
    def _note(threads: Threads, policy: MessagePolicy, scene: Scene) -> None:
        for message in (one.message for one in policy.look(scene)):
            threads.messages += 1
            if message.kind == "begin":
                threads.began_ms.append(message.at_ms)
            elif message.kind == "end":
                threads.ended_ms.append(message.at_ms)


def threads_of(market: MarketDays, budgets: Sequence[float] = BUDGETS) -> dict[float, Threads]:
    """Return what each budget makes of a market, from a fresh start on."""
    trial = _Trial(market.instruments, budgets)
    columns = (market.which, market.at_ms, *market.minute_sums())
    for one, at_ms, usd, count, all_usd, all_count in zip(*(column.tolist() for column in columns), strict=True):
        trial.event(one, at_ms, (usd, count), (all_usd, all_count))
    return trial.threads


def least_by_chance(mean: float) -> int:
    """The smallest count whose 95 % interval still reaches up to `mean`.

    >>> least_by_chance(18.0), least_by_chance(3.0)
    (11, 0)
    """
    count = 0
    while poisson_interval(count)[1] < mean:
        count += 1
    return count


def _rate(name: str, count: int, per_week: float, weeks: float, measured: str) -> Figure:
    low, high = poisson_interval(count)
    mean = per_week * weeks
    return Figure(
        name,
        count / weeks,
        low / weeks,
        high / weeks,
        "threads a week",
        f"{count} in {weeks:g} weeks; 95 % Poisson interval; {measured}",
        at_least=least_by_chance(mean) / weeks,
        at_most=most_by_chance(mean) / weeks,
    )


def _budgets_hold(instruments: int, days: float) -> list[Figure]:
    market = market_days(1, instruments, 2 * days)
    measured = f"{instruments:,} instruments, {len(market.at_ms):,} liquidations in {2 * days:g} days, seed 1"
    found = []
    for per_week, threads in threads_of(market).items():
        name = f"{instruments:,} instruments, budget {per_week:g}"
        fresh, taught = threads.between(0, days), threads.between(days, 2 * days)
        found += [
            _rate(f"{name}: first week, fresh", threads.between(0, 7), per_week, 1.0, measured),
            _rate(f"{name}: fresh", fresh, per_week, days / 7, measured),
            _rate(f"{name}: taught", taught, per_week, days / 7, f"{measured}, {threads.messages} messages in all"),
        ]
    return found


def _shocks_met(instruments: int, days: float) -> list[Figure]:
    market = market_days(3, instruments, 2 * days, [day * days / DAYS for day in SHOCKS])
    found = []
    for per_week, threads in threads_of(market).items():
        met = sum(map(threads.meets, market.shocks_ms))
        name = f"{instruments:,} instruments, budget {per_week:g}: market shocks with a thread"
        measured = f"one in {days:g} days of a fresh start, three in {days:g} when it is taught, seed 3"
        wanted = len(market.shocks_ms) if days == DAYS else None  # in fewer days a shock is not rare
        found.append(Figure(name, met, met, met, "of 4", measured, at_least=wanted))
    return found


def replayed(stem: str) -> AlarmReplay:
    """Return what a stored file would have sent, with a budget of three a week and nothing learned before."""
    engine = VelocityEngine()
    settings = PolicySettings(3.0, channels=_CHANNELS)
    replay = AlarmReplay(settings, engine)
    coverage = HISTORY / f"coverage_{stem}.csv"
    spans = load_coverage(coverage) if coverage.exists() else []
    for step in steps(load(HISTORY / f"{stem}.parquet"), 1, spans, engine):
        replay.step(1_000 * step.second, step.events)
    replay.finish()
    return replay


def _real_days(stems: Sequence[str]) -> list[Figure]:
    found = []
    for stem in stems:
        if not (HISTORY / f"{stem}.parquet").exists():
            print(f"alarms: {HISTORY / stem}.parquet is not there: not measured", file=sys.stderr)
            continue
        replay = replayed(stem)
        totals = replay.totals()
        low, high = poisson_interval(totals.threads)
        measured = (
            f"{totals.days:.2f} watched days from a fresh start, {len(replay.messages)} messages; a budget of 3 a week "
            f"allows {totals.expected:.2f}; 95 % Poisson interval"
        )
        found.append(Figure(f"{REAL[stem]}", totals.threads, low, high, "threads", measured))
    return found


def run(scale: Scale) -> list[Figure]:
    """The figures; at the tiny scale of few instruments and of the shortest file."""
    if scale == TINY:
        return [*_budgets_hold(20, 7.0), *_shocks_met(20, 7.0), *_real_days(["binance_btcusdt_20241204"])]
    found = []
    for instruments in (50, 1_500):
        found += [*_budgets_hold(instruments, DAYS), *_shocks_met(instruments, DAYS)]
    return [*found, *_real_days(list(REAL))]
