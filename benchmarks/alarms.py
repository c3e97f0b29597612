"""Whether the message budget holds: threads a week over many clustered instruments, from a fresh start and taught.

`python -m benchmarks alarms`. 84 days of 1,500 instruments, and of 50: the first 42 are a fresh start, of levels and of
the budget; the others are what follows once both were taught. A budget holds where the 95 % Poisson interval of the
threads that were counted has it in. Three market shocks are put into another 42 days, taught and fresh.
"""

from collections.abc import Sequence

from msgspec import Struct

from benchmarks.calibration import poisson_interval
from benchmarks.marketdays import MarketDays, market_days
from benchmarks.measure import TINY, Figure, Scale
from benchmarks.stationary import DAY_MS
from liqtape.alarms.policy.messagepolicy import MessagePolicy, PolicySettings
from liqtape.alarms.policy.sightings import Scene, sightings
from liqtape.alarmsettings import ChannelSettings
from liqtape.engine.levels.returnperiods import MARKET_KEY, Minute, ReturnPeriods, StreamKey
from liqtape.engine.levels.streamlevel import StreamLevel

__all__ = ["BUDGETS", "Threads", "run", "threads_of"]

BUDGETS = (1.0, 3.0, 7.0, 21.0)
DAYS = 42.0

_LOOK_MS = 5_000  # how often the policy looks while something is at ALERT, beside each raise


class Threads(Struct, frozen=True):
    """When threads of a budget opened, and how many messages were made of them."""

    opened_ms: list[int]
    ended: int
    messages: int

    def between(self, from_days: float, until_days: float) -> int:
        return sum(from_days * DAY_MS <= at_ms < until_days * DAY_MS for at_ms in self.opened_ms)


class _Watched:
    """The levels of a simulated market, with what each stream last brought."""

    def __init__(self, instruments: int) -> None:
        self.levels = ReturnPeriods()
        self.now_ms = 0
        self.last: dict[StreamKey, tuple[int, float, int]] = {}
        self.streams: list[StreamLevel] = [
            self.levels.stream(StreamKey(None, f"I{one}"), 0) for one in range(instruments)
        ]
        self.levels.feed_up("all", 0)
        for stream in self.streams:
            stream.up(0)

    def minute_of(self, key: StreamKey) -> Minute:
        at_ms, usd, count = self.last.get(key, (0, 0.0, 0))
        return (usd, count) if self.now_ms - at_ms < 60_000 else (0.0, 0)


def threads_of(market: MarketDays, budgets: Sequence[float] = BUDGETS) -> dict[float, Threads]:
    """Return what each budget makes of a market, from a fresh start on."""
    watched = _Watched(market.instruments)
    channels = {"log": ChannelSettings("log", messages_per_hour=1_000)}
    policies = {per_week: MessagePolicy(PolicySettings(per_week, channels=channels)) for per_week in budgets}
    opened: dict[float, list[int]] = {per_week: [] for per_week in budgets}
    ended, made = dict.fromkeys(budgets, 0), dict.fromkeys(budgets, 0)
    levels, last, streams = watched.levels, watched.last, watched.streams
    market_stream = levels.market

    def look(now_ms: int) -> None:
        watched.now_ms = now_ms
        levels.tick(now_ms, watched.minute_of)
        scene = Scene(now_ms, sightings(levels, watched.minute_of), market.instruments)
        for per_week, policy in policies.items():
            if scene.sightings or policy.thread is not None:
                before = policy.threads_total
                messages = policy.look(scene)
                made[per_week] += len(messages)
                ended[per_week] += sum(one.message.kind == "end" for one in messages)
                if policy.threads_total > before:
                    opened[per_week].append(now_ms)

    for policy in policies.values():
        policy.look(Scene(0))
    looked_ms = 0
    columns = (market.which, market.at_ms, *market.minute_sums())
    for one, at_ms, usd, count, all_usd, all_count in zip(*(column.tolist() for column in columns), strict=True):
        while at_ms - looked_ms > _LOOK_MS and (levels.is_raised() or looked_ms == 0):
            looked_ms = at_ms if looked_ms == 0 else looked_ms + _LOOK_MS
            look(looked_ms)
        stream = streams[one]
        last[stream.key] = (at_ms, usd, count)
        last[MARKET_KEY] = (at_ms, all_usd, all_count)
        levels.look(((stream, usd, count),), (all_usd, all_count), at_ms)
        if levels.has_changed:
            levels.take_changed()
            look(at_ms)
            looked_ms = at_ms
        elif stream.level >= 2 or market_stream.level >= 2:
            if at_ms - looked_ms >= 1_000:
                look(at_ms)
                looked_ms = at_ms
        elif at_ms - looked_ms > _LOOK_MS:
            looked_ms = at_ms
    return {
        per_week: Threads(opened[per_week], ended[per_week] + (policy.thread is not None), made[per_week])
        for per_week, policy in policies.items()
    }
