"""Decoding a frame, sizing its events and giving them their identity, against `json.loads` alone of the same frame.

`json.loads` gets text, which is kinder to it than bytes (it need not detect the encoding). Every frame is a new one,
every identity is new to its store.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median

from benchmarks.frames import FRAMES, bybit_batch
from benchmarks.measure import Case, Figure, Scale, cpu_rounds, figure, ratio
from liqtape.events import RawLiquidation
from liqtape.identity import Identities, identity
from liqtape.instruments import Instruments
from liqtape.venues import VENUES
from liqtape.venues.base import Venue

_FRAMES = 2_000
_BATCH = 20
_EVENT_MS = 1_790_000_000_000
_SIZED = "+ size and USD"
STEPS = ("decode", _SIZED, "+ identity")


def run(scale: Scale) -> list[Figure]:
    """One-event frames of every venue, and batches of Bybit."""
    figures: list[Figure] = []
    count = scale.size(_FRAMES)
    for name, make in FRAMES.items():
        if name in VENUES:
            frames = [make(i, _EVENT_MS + i) for i in range(count)]
            figures += _figures(name, VENUES[name], frames, 2.8, scale.rounds, goal="decode")
    batches = [bybit_batch(i * _BATCH, _EVENT_MS + i) for i in range(count // _BATCH + 1)]
    return figures + _figures(f"bybit, {_BATCH} events", VENUES["bybit"], batches, 1.6, scale.rounds)


def _figures(
    label: str, venue: Venue, frames: Sequence[bytes], at_least: float, rounds: int, *, goal: str = ""
) -> list[Figure]:
    _check(venue, frames[0])
    texts = [frame.decode() for frame in frames]
    cases = {step: Case(work, lambda: frames, len(frames)) for step, work in steps(venue).items()}
    cases["json.loads"] = Case(_loads, lambda: texts, len(frames))
    spent = cpu_rounds(cases, rounds)
    alone = spent.pop("json.loads")
    figures = []
    for step, took in spent.items():
        values = ratio(alone, took)
        measured = f"{median(took):.0f} ns a frame of {len(frames[0])} bytes, json.loads {median(alone):.0f} ns"
        target, key = (at_least, goal) if step == _SIZED else (None, "")
        figures.append(figure(f"{label}: {step}", values, "x faster", measured, at_least=target, goal=key))
    return figures


def _loads(texts: Sequence[str]) -> None:
    for text in texts:
        json.loads(text)


def _decoded(venue: Venue, frames: Sequence[bytes]) -> None:
    decode = venue.decode
    for frame in frames:
        decode(frame, _EVENT_MS)


def _sized(venue: Venue, table: Instruments, frames: Sequence[bytes]) -> None:
    decode = venue.decode
    for frame in frames:
        for event in decode(frame, _EVENT_MS):
            if isinstance(event, RawLiquidation):
                table.sized(event, "")


def _identified(venue: Venue, table: Instruments, frames: Sequence[bytes]) -> None:
    decode = venue.decode
    seen = Identities()
    for frame in frames:
        for event in decode(frame, _EVENT_MS):
            if isinstance(event, RawLiquidation):
                key = identity(event)
                if seen.is_new(key, event.event_ms):
                    table.sized(event, key)


def steps(venue: Venue) -> dict[str, Callable[[Sequence[bytes]], None]]:
    """What is done to frames, by step; each contains the one before."""
    table = Instruments(lambda _, symbol: venue.parse_symbol(symbol))
    works = (partial(_decoded, venue), partial(_sized, venue, table), partial(_identified, venue, table))
    return dict(zip(STEPS, works, strict=True))


def _check(venue: Venue, frame: bytes) -> None:
    """An event without its size would make the sizing look cheap."""
    table = Instruments(lambda _, symbol: venue.parse_symbol(symbol))
    for event in venue.decode(frame, _EVENT_MS):
        if not isinstance(event, RawLiquidation) or table.sized(event, "").notional_usd is None:
            raise RuntimeError(f"{venue.name}: not the whole way is measured: {event}")
