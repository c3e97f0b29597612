"""How unusual a minute was against the minutes of the days before it."""

from typing import Any

import numpy as np
from msgspec import Struct, structs

from liqtape.engine.baseline.surprise import surprise_fano
from liqtape.errors import ConfigurationError
from liqtape.history.archive.archivereader import WINDOW_COLUMNS
from liqtape.history.query.observedtime import ObservedTime
from liqtape.history.query.source import Source
from liqtape.history.query.streams import Ints, Selection, Streams

__all__ = ["Distribution", "Unusual", "unusual"]

_MINUTE_MS = 60_000
_DAY_MS = 86_400_000
_MOST_DAYS = 3_660


class Distribution(Struct, frozen=True):
    """Of a value in the minutes compared with: the least value that so many percent of them do not exceed."""

    median: float
    p90: float
    p99: float
    p99_9: float
    highest: float


class Unusual(Struct, frozen=True):
    """The minute (`from_ms`, `until_ms`] against `minutes` wholly covered ones of the days before.

    `busier_than` is the share of them with fewer liquidations, `heavier_than` that with less USD, in percent;
    `at_least_as_busy` is how many had as many or more. `surprise` is a statistic of the count, by `mean` and
    `fano` of these minutes. What follows from the comparison is None without minutes to compare with.
    """

    from_ms: int
    until_ms: int
    instrument: str | None
    venue: str | None
    event_count: int
    usd: float
    coverage: float | None
    minutes: int
    busier_than: float | None = None
    heavier_than: float | None = None
    at_least_as_busy: int | None = None
    mean: float | None = None
    fano: float | None = None
    surprise: float | None = None
    counts: Distribution | None = None
    usds: Distribution | None = None


def unusual(source: Source, observed: ObservedTime, until_ms: int, days: int, selection: Selection) -> Unusual:
    """Compare; a day is read at a time. Raises ConfigurationError for a number of days that is none."""
    if not 0 < days <= _MOST_DAYS:
        raise ConfigurationError(f"{days} days: compare with 1 to {_MOST_DAYS}")
    size = 1 + days * _DAY_MS // _MINUTE_MS
    counts, usd = np.zeros(size, np.int64), np.zeros(size)
    depends: set[str] = set()
    first_ms = until_ms
    begin_ms = until_ms - size * _MINUTE_MS
    for end_ms in range(until_ms, begin_ms, -_DAY_MS):
        from_ms = max(begin_ms, end_ms - _DAY_MS)
        table = source.events(from_ms, end_ms, selection["instrument"], selection["venue"], WINDOW_COLUMNS)
        streams = Streams(table, selection, None, observed, observed.concerned(from_ms, end_ms))
        depends |= streams.venues
        if len(streams.event_ms):
            first_ms = min(first_ms, int(streams.event_ms.min()))
        places = (until_ms - streams.event_ms) // _MINUTE_MS  # how many minutes ago
        counts += np.bincount(places, minlength=size)
        usd += np.bincount(places, np.nan_to_num(streams.usd), size)
    ends_ms = until_ms - _MINUTE_MS * np.arange(size, dtype=np.int64)
    shares = observed.shares(depends, ends_ms, 60)
    is_known = ends_ms - _MINUTE_MS >= first_ms if np.isnan(shares).all() else shares == 1
    return _compared(selection, ends_ms, counts, usd, shares, is_known)


def _compared(selection: Selection, ends_ms: Ints, counts: Ints, usd: Any, shares: Any, is_known: Any) -> Unusual:
    own = Unusual(
        int(ends_ms[0]) - _MINUTE_MS,
        int(ends_ms[0]),
        selection["instrument"],
        selection["venue"],
        int(counts[0]),
        float(usd[0]),
        None if np.isnan(shares[0]) else float(shares[0]),
        int(is_known[1:].sum()),
    )
    if not own.minutes:
        return own
    others, others_usd = counts[1:][is_known[1:]], usd[1:][is_known[1:]]
    mean = float(others.mean())
    fano = float(others.var() / mean) if mean else None
    return structs.replace(
        own,
        busier_than=100 * float((others < counts[0]).mean()),
        heavier_than=100 * float((others_usd < usd[0]).mean()),
        at_least_as_busy=int((others >= counts[0]).sum()),
        mean=mean,
        fano=fano,
        surprise=None if fano is None else surprise_fano(own.event_count, mean, fano),
        counts=_distribution(others),
        usds=_distribution(others_usd),
    )


def _distribution(values: Any) -> Distribution:
    return Distribution(*np.percentile(values, [50, 90, 99, 99.9, 100], method="inverted_cdf").tolist())
