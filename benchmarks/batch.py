"""All windows of a whole column at once: five lengths, counts and USD, after each of 10 million events.

And what ranking them costs: one binary search over the column for each event and window, the same over one stretch at a
time, and the table that `liqtape.batch` makes of each stretch. Sparse is an event a second, dense a hundred.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from msgspec import Struct

from benchmarks.measure import Case, Figure, Scale, cpu_rounds, figure, ratio
from liqtape.batch import windows
from liqtape.batch.ranks import Ints, ranks
from liqtape.engine import VelocityEngine
from liqtape.events import Liquidation, Side

_EVENTS = 10_000_000
_RANKED = 2_000_000
_ENGINE = 10_000
_INSTRUMENTS = 1_000
_BEGIN_MS = 1_790_000_000_000
_SECONDS = (10, 20, 30, 60, 300)
_OFFSETS = [1000 * seconds for seconds in _SECONDS]
_STRETCH = 1 << 14
_GAP_MS = {"dense": 10.0, "sparse": 1_000.0}
_APART = "long and short apart"
_SPLIT: tuple[Side, ...] = ("long", "short")


class _Columns(Struct):
    times: Ints
    micro: Ints
    sides: Any
    codes: Ints


def _columns(count: int, gap_ms: float) -> _Columns:
    """A stream of liquidations in order, 70 % long; each of the instruments is equally likely."""
    draw = np.random.default_rng(1)
    return _Columns(
        _BEGIN_MS + np.cumsum(draw.exponential(gap_ms, count)).astype(np.int64),
        np.rint(1e6 * draw.lognormal(7.0, 2.0, count)).astype(np.int64),
        (draw.random(count) > 0.7).astype(np.int8),
        draw.integers(0, _INSTRUMENTS, count),
    )


def _five(columns: _Columns, sides: Sequence[Side | None], codes: Ints | None = None) -> None:
    rows = windows(columns.times, columns.micro, columns.sides, codes)
    for seconds in _SECONDS:
        for side in sides:
            rows.count(seconds, side)
            rows.micro(seconds, side)


def _one_search(times: Ints) -> list[Any]:
    return [np.searchsorted(times, times - offset, "right") for offset in _OFFSETS]


def _searches_by_stretch(times: Ints) -> list[Any]:
    columns = [np.empty(len(times), np.int32) for _ in _OFFSETS]
    for column, offset in zip(columns, _OFFSETS, strict=True):
        first = 0
        for start in range(0, len(times), _STRETCH):
            limits = times[start : start + _STRETCH] - offset
            last = first + int(times[first : start + _STRETCH].searchsorted(limits[-1], "right"))
            column[start : start + _STRETCH] = times[first:last].searchsorted(limits, "right") + first
            first = last
    return columns


def _tables(times: Ints) -> list[Any]:
    return list(ranks(times, times, _OFFSETS))


_WAYS: dict[str, Callable[[Ints], list[Any]]] = {
    "a search over the column": _one_search,
    "a search over a stretch": _searches_by_stretch,
    "a table of a stretch": _tables,
}


def _engine(events: list[Liquidation]) -> None:
    engine = VelocityEngine()
    for event in events:
        engine.add(event)
        engine.metrics(event.instrument, event.event_ms)


def _liquidations(columns: _Columns) -> list[Liquidation]:
    return [
        Liquidation("bybit", "BTCUSDT", "BTCUSDT", _SPLIT[side], 1.0, "fill", None, micro / 1e6, event_ms)
        for event_ms, micro, side in zip(
            columns.times[:_ENGINE].tolist(), columns.micro[:_ENGINE].tolist(), columns.sides[:_ENGINE], strict=True
        )
    ]


def run(scale: Scale) -> list[Figure]:
    """Events per second of one core, and what each way of ranking takes."""
    count, ranked = scale.size(_EVENTS), scale.size(_RANKED)
    cases: dict[str, Case] = {}
    for density, gap_ms in _GAP_MS.items():
        columns = _columns(count, gap_ms)
        for label, codes in (("one instrument", None), (f"{_INSTRUMENTS:,} instruments", columns.codes)):
            cases[f"{label}, {density}"] = Case(
                partial(_five, sides=(None,), codes=codes), partial(_same, columns), count
            )
            if density == "dense":
                work = partial(_five, sides=_SPLIT, codes=codes)
                cases[f"{label}, {density}, {_APART}"] = Case(work, partial(_same, columns), count)
        for way, rank in _WAYS.items():
            cases[f"{way}, {density}"] = Case(rank, partial(_same, columns.times[:ranked].copy()), ranked)
    liquidations = _liquidations(_columns(_ENGINE, _GAP_MS["dense"]))
    cases["engine"] = Case(_engine, partial(_same, liquidations), len(liquidations))
    # Rounds of seconds each: three of them tell as much as seven of what lasts a moment.
    return _figures(cpu_rounds(cases, min(3, scale.rounds)), count, ranked)


def _same(prepared: Any) -> Any:
    return prepared


def _figures(spent: Mapping[str, Sequence[float]], count: int, ranked: int) -> list[Figure]:
    figures = []
    for name, took in spent.items():
        if "instrument" in name:
            least = (3e6 if name.startswith(f"{_INSTRUMENTS:,}") else 8e6) if _APART not in name else None
            measured = f"{count:,} events, five windows with counts and USD"
            goal = "batch" if least is not None and "dense" in name else ""
            figures.append(figure(name, [1e9 / ns for ns in took], "events/s", measured, at_least=least, goal=goal))
        elif name != "engine":
            measured = f"{ranked:,} events, five windows, tails alone"
            figures.append(figure(f"ranking by {name}", took, "ns/event", measured))
    whole = spent[f"one instrument, dense, {_APART}"]
    measured = f"add + metrics of {_ENGINE:,} events"
    figures.append(figure("one instrument against the engine", ratio(spent["engine"], whole), "x faster", measured))
    return figures
