"""Detectors of cascades: their false alarms where each signal is one, and what they cost.

On streams whose habits never change (Hawkes processes of 820, 84, 8 and 0.9 liquidations a day, a thousand days each)
whatever a detector calls a cascade is chance; the first days, in which it learns, are counted too. Costs are those of
one detector of one stream, against `engine.add` of the same event.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice

from benchmarks.measure import Case, Figure, Scale, cpu_rounds, figure, ratio
from benchmarks.stationary import Streams, streams
from benchmarks.stream import Stream, endless
from liqtape.cascades.choice import DETECTORS, CascadeSettings, detector_of
from liqtape.cascades.detector import Detector
from liqtape.cascades.helddetector import Measure
from liqtape.engine.levels.returnperiods import StreamKey
from liqtape.events import Liquidation

__all__ = ["Kind", "KINDS", "false_alarms"]

Kind = tuple[str, Measure]

KINDS: tuple[Kind, ...] = (
    *((name, "rate") for name in DETECTORS),
    ("threshold", "usd"),
    ("cusum", "usd"),
    ("hawkes", "usd"),
)

RATES = (820.0, 84.0, 8.0, 0.9)
"""Liquidations a day."""

MOST = 1.0
"""False alarms a day, of every detector but the default one: that is to be raised four times a day."""

MOST_OF_DEFAULT = 4.0
_ADDS = 1.5
_STREAMS, _DAYS = 10, 100.0
_SEED = 3
_KEY = StreamKey(None, "COIN0USDT")
_FULL = 1.0
_IN_WINDOW = {"300 in 300 s": 300, "30,000 in 300 s": 30_000}
_STEPS = 4_000


def _detector(kind: Kind) -> Detector:
    name, by = kind
    return detector_of(name, _KEY, CascadeSettings(by=by, refit=False))


def _events(drawn: Streams, stream: int) -> Iterator[Liquidation]:
    first, last = drawn.first[stream : stream + 2].tolist()
    times, sizes = drawn.at_ms[first:last].tolist(), drawn.micro_usd[first:last].tolist()
    for at_ms, micro in zip(times, sizes, strict=True):
        yield Liquidation("bybit", "COIN0USDT", "COIN0USDT", "long", 1.0, "fill", None, micro / 1e6, at_ms)


def false_alarms(kinds: Sequence[Kind], per_day: float, count: int, days: float, seed: int = _SEED) -> dict[Kind, int]:
    """Signals of each detector on `count` stationary streams of so many days."""
    drawn = streams(seed, per_day, count, days)
    found = dict.fromkeys(kinds, 0)
    for stream in range(count):
        events = list(_events(drawn, stream))
        for kind in kinds:
            detector = _detector(kind)
            detector.up(0)
            found[kind] += sum(detector.update(event) is not None for event in events)
    return found


def run(scale: Scale) -> list[Figure]:
    """False alarms by rate, then costs."""
    return [*_alarms(scale), *_costs(scale)]


def _alarms(scale: Scale) -> Iterator[Figure]:
    days = max(2.0, _DAYS * scale.events)
    for per_day in RATES:
        for (name, by), signals in false_alarms(KINDS, per_day, _STREAMS, days).items():
            most = MOST_OF_DEFAULT if name == "return_periods" else MOST
            yield figure(
                f"{name} by {by}, {per_day:g} liquidations a day",
                [signals / (_STREAMS * days)],
                "a day",
                f"false alarms in {_STREAMS} stationary streams of {days:g} days",
                at_most=most if scale.events >= _FULL else None,
            )


def _update(detector: Detector, events: list[Liquidation]) -> None:
    update = detector.update
    for event in events:
        update(event)


def _costs(scale: Scale) -> Iterator[Figure]:
    count = scale.size(_STEPS)
    for label, in_window in _IN_WINDOW.items():
        stream = Stream(scale.size(in_window))
        cases = {"add": Case(stream.add, partial(stream.next, count), count)}
        for name, by in KINDS:
            detector, events = _detector((name, by)), endless(scale.size(in_window))
            _update(detector, list(islice(events, scale.size(in_window))))
            following = partial(lambda events: list(islice(events, count)), events)
            cases[f"{name} by {by}"] = Case(partial(_update, detector), following, count)
        spent = cpu_rounds(cases, scale.rounds)
        for name in cases:
            if name != "add":
                yield figure(
                    f"{name}, {label}",
                    ratio(spent[name], spent["add"]),
                    "adds",
                    "one event of one stream, in engine.add of that event",
                    at_most=_ADDS if name.startswith("return_periods") and scale.events >= _FULL else None,
                )
