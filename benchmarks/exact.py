"""USD sums against exact arithmetic: after every event in any order, and what is left when the windows have emptied.

Heavy tails (fractions of a cent beside billions), arrival as late as the engine takes it. The truth is a sum of the
events' amounts as they print, each rounded once to 1e-6 USD, half to even.
"""

import random
from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

from benchmarks.measure import Figure, Scale, figure
from liqtape.engine import VelocityEngine
from liqtape.events import WINDOWS, Liquidation, Side
from liqtape.money import MICRO

_EVENTS = 3_000
_LOOKS = 100
_LATE_MS = 200_000
_BEGIN_MS = 1_790_000_000_000
_INSTRUMENT = "BTCUSDT"
_MICRO_USD = Decimal("0.000001")


def _events(count: int, seed: int) -> list[Liquidation]:
    draw = random.Random(seed)
    made = []
    for serial in range(count):
        side: Side = "long" if draw.random() < 0.7 else "short"
        usd = draw.lognormvariate(4.0, 6.0)
        at_ms = _BEGIN_MS + serial * 1000 * WINDOWS[-1] // count
        made.append(Liquidation("bybit", _INSTRUMENT, _INSTRUMENT, side, 1.0, "fill", usd, usd, at_ms, at_ms))
    return made


def _late(events: Sequence[Liquidation], draw: random.Random) -> list[Liquidation]:
    """Some of them minutes late."""
    delays = {event: draw.choice((0, 0, 0, draw.randrange(_LATE_MS))) for event in events}
    return sorted(events, key=lambda event: event.event_ms + delays[event])


def _shuffled(events: Sequence[Liquidation], draw: random.Random) -> list[Liquidation]:
    return draw.sample(events, len(events))


_ORDERS: dict[str, Callable[[Sequence[Liquidation], random.Random], list[Liquidation]]] = {
    "in order": lambda events, _: list(events),
    "some late": _late,
    "shuffled": _shuffled,
}


def _micro(liquidation: Liquidation) -> Fraction:
    rounded = Decimal(repr(liquidation.notional_usd)).quantize(_MICRO_USD, ROUND_HALF_EVEN)
    return Fraction(rounded) * MICRO


def _errors(events: Sequence[Liquidation]) -> tuple[Fraction, int]:
    """(worst error of a window at any look, what is left in them ten minutes later), in micro-USD."""
    engine = VelocityEngine()
    amounts: list[tuple[int, Fraction]] = []
    worst = Fraction(0)
    look = max(1, len(events) // _LOOKS)
    for serial, event in enumerate(events):
        engine.add(event)
        amounts.append((event.event_ms, _micro(event)))
        if serial % look and serial != len(events) - 1:
            continue
        now = engine.newest_ms
        totals = engine.totals(_INSTRUMENT, now)
        for seconds, micro in zip(WINDOWS, totals.micro_usd if totals else (), strict=True):
            true = sum((amount for at_ms, amount in amounts if at_ms > now - 1000 * seconds), Fraction(0))
            worst = max(worst, abs(true - micro))
    left = engine.totals(_INSTRUMENT, engine.newest_ms + 2_000 * WINDOWS[-1])
    return worst, max(map(abs, left.micro_usd)) if left else 0


def run(scale: Scale) -> list[Figure]:
    """The worst error and the largest residue of all streams, in USD: a median would hide the one that is off."""
    count = scale.size(_EVENTS)
    found = [
        _errors(arranged(_events(count, seed), random.Random(seed)))
        for arranged in _ORDERS.values()
        for seed in range(scale.rounds)
    ]
    measured = f"{len(found)} streams of {count:,} events: {', '.join(_ORDERS)}"
    worst, left = (float(max(values)) / MICRO for values in zip(*found, strict=True))
    looks = f"{measured}; {_LOOKS} looks at four windows each"
    return [
        figure("error of a sum", [worst], "USD", looks, at_most=0, goal="exact"),
        figure("residue of an empty window", [left], "USD", measured, at_most=0, goal="exact"),
    ]
