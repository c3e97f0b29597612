"""A cascade to be published, stored and shown, made as a run makes it."""

from msgspec.structs import replace

from liqtape.cascades.cascade import Cascade
from liqtape.cascades.runningcascade import Rise, RunningCascade
from liqtape.cascades.venuelead import VenueLead
from liqtape.engine.levels.returnperiods import StreamKey
from liqtape.events import Gap, Liquidation

__all__ = ["T0", "cascade"]

T0 = 1_790_000_000_000


def cascade(instrument: str = "BTCUSDT", begin_ms: int = T0, *, is_over: bool = True) -> Cascade:
    """Return a cascade of ten liquidations at two venues, one a second."""
    events = [
        Liquidation(
            ("bybit", "okx")[k % 2], instrument, instrument, "long", 100.0 - k, "fill", 1.0, 1_000.0, begin_ms + k
        )
        for k in range(0, 10_000, 1_000)
    ]
    rise = Rise(StreamKey(None, instrument), "return_periods", begin_ms + 9_000, f"{instrument} rose", "ALERT", 50.0)
    running = RunningCascade(rise, ("instrument", instrument), [(one.event_ms, one) for one in events], ((), ()))
    return replace(
        running.record(is_over=is_over),
        lead=VenueLead("bybit", "okx", 1_000, 500, 0.8),
        gaps=(Gap("okx", begin_ms + 1, begin_ms + 2, "lost"),),
        move_of=instrument,
        move_during=-0.01,
    )
