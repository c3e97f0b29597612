"""Labels: where cascades were, by two rules that look at the whole file. No detector is asked."""

from collections.abc import Sequence
from math import fsum

from msgspec import Struct

from liqtape.exam.burstrule import burst_stretches
from liqtape.exam.markedstream import MarkedStream, quantile
from liqtape.exam.raterule import LabelBar, rate_stretches

__all__ = ["ALL", "LEAST_EVENTS", "LabelledCascade", "labels_of"]

ALL = "ALL"
"""The scope of all events of a file."""

LEAST_EVENTS = 50
"""Of a stream that is labelled."""

_MINUTE_MS, _TEN_MS, _SECOND_MS = 60_000, 10_000, 1_000
_LEAST_COUNTS = 4, 10
_MIDDLE, _WORST = 20.0, 100.0  # of the median minute, from which the severity is 2 and 3
_HEAVY, _BUSY = 0.90, 0.99


class LabelledCascade(Struct, frozen=True):
    """One cascade. `does_agree`: the other rule found one that overlaps."""

    scope: str
    rule: str
    start_ms: int
    end_ms: int
    peak_ms: int
    events: int
    usd: float
    peak_usd_60s: float
    peak_events_60s: int
    peak_events_10s: int
    peak_events_1s: int
    long_share_usd: float
    severity: int
    does_agree: bool


def labels_of(scope: str, stream: MarkedStream) -> list[LabelledCascade]:
    """Return the cascades of a stream, those of the rate rule first; none where it has too few events."""
    if len(stream) < LEAST_EVENTS:
        return []
    minutes = stream.minute_usd()
    minute = stream.tails(_MINUTE_MS)
    counts = [place + 1 - tail for place, tail in enumerate(minute)]
    few, many = _LEAST_COUNTS
    least_count = min(many, max(few, round(0.5 * quantile(counts, _BUSY))))
    bar = LabelBar(quantile(minutes, 0.5), quantile(minutes, _HEAVY), least_count)
    by_rate = rate_stretches(stream, bar)
    by_burst = burst_stretches(stream, bar.least_usd, bar.least_count)
    tails = (minute, stream.tails(_TEN_MS), stream.tails(_SECOND_MS))
    return [
        _label((scope, rule), stream, stretch, tails, (bar.floor_usd, _do_overlap(stretch, others)))
        for rule, stretches, others in (("rate", by_rate, by_burst), ("burst", by_burst, by_rate))
        for stretch in stretches
    ]


def _label(
    named: tuple[str, str],
    stream: MarkedStream,
    stretch: tuple[int, int],
    tails: tuple[Sequence[int], Sequence[int], Sequence[int]],
    facts: tuple[float, bool],
) -> LabelledCascade:
    first, last = stretch
    floor_usd, does_agree = facts
    places = range(first, last + 1)
    peak = max(places, key=lambda place: stream.within(tails[0][place], place + 1))
    peak_usd = stream.within(tails[0][peak], peak + 1)
    usd = fsum(stream.usd[first : last + 1])
    long_usd = fsum(stream.usd[place] for place in places if stream.is_long[place])
    ratio = peak_usd / max(floor_usd, 1e-9)
    in_minute, in_ten, in_second = (max(place + 1 - tail[place] for place in places) for tail in tails)
    return LabelledCascade(
        *named,
        stream.times_ms[first],
        stream.times_ms[last],
        stream.times_ms[peak],
        last + 1 - first,
        round(usd, 2),
        round(peak_usd, 2),
        in_minute,
        in_ten,
        in_second,
        round(long_usd / max(usd, 1e-9), 3),
        1 if ratio < _MIDDLE else 2 if ratio < _WORST else 3,
        does_agree,
    )


def _do_overlap(stretch: tuple[int, int], others: Sequence[tuple[int, int]]) -> bool:
    first, last = stretch
    return any(begin <= last and end >= first for begin, end in others)
