"""Liquidations for tests of forecasts."""

from collections.abc import Sequence
from math import exp, log1p

from liqtape.cascades.hawkesprocess import DECAYS
from liqtape.events import Liquidation, Side
from liqtape.forecast.features import LOOK_BACK_MS, WINDOWS

T0 = 1_790_000_000_000


def liquidation(at_ms: int, usd: float | None = 1.0, side: Side | None = "long", venue: str = "bybit") -> Liquidation:
    return Liquidation(venue, "BTCUSDT", "BTCUSDT", side, 80_000.0, "fill", None, usd, at_ms)


def recounted(events: Sequence[Liquidation], now_ms: int) -> list[float]:
    """Return the features by their definition, from the whole list."""
    known = [event for event in events if event.event_ms <= now_ms]

    def within(seconds: int) -> list[Liquidation]:
        return [event for event in known if event.event_ms > now_ms - 1000 * seconds]

    def imbalance(seconds: int) -> float:
        sides = [event.side for event in within(seconds) if event.side]
        return (sides.count("long") - sides.count("short")) / len(sides) if sides else 0.0

    row = [log1p(len(within(w))) for w in WINDOWS]
    row += [
        log1p(sum(round((event.notional_usd or 0) * 1_000_000) for event in within(w)) / 1_000_000) for w in WINDOWS
    ]
    row += [imbalance(60), imbalance(300), imbalance(3_600), abs(imbalance(300))]
    since_ms = min([now_ms - event.event_ms for event in known] + [LOOK_BACK_MS])
    row.append(log1p(since_ms / 1000))
    return row + [log1p(sum(exp(-b * (now_ms - event.event_ms) / 1000) for event in known)) for b in DECAYS]
