"""A cascade to be published, stored and shown, made as a run makes it."""

from msgspec.structs import replace

from liqtape.cascades.cascade import Cascade
from liqtape.cascades.runningcascade import Rise, RunningCascade
from liqtape.cascades.venuelead import VenueLead
from liqtape.engine.levels.returnperiods import StreamKey
from liqtape.events import Gap, Liquidation

__all__ = ["T0", "cascade", "past"]

T0 = 1_790_000_000_000
_HOUR_MS = 3_600_000


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


def past() -> list[Liquidation]:
    """Two days of a quiet stream, with two bursts of longs."""
    times = [T0 + 600_000 * k for k in range(300)]
    usds = [2_000.0 + k for k in range(300)]
    for burst_ms in (T0 + 30 * _HOUR_MS + 7, T0 + 40 * _HOUR_MS + 7):
        times += [burst_ms + 500 * k for k in range(60)]
        usds += [20_000.0 + k for k in range(60)]
    return [
        Liquidation("bybit", "BTCUSDT", "BTCUSDT", "long", 80_000.0 - k, "fill", 1.0, usd, at_ms, at_ms, str(at_ms))
        for k, (at_ms, usd) in enumerate(sorted(zip(times, usds, strict=True)))
    ]
