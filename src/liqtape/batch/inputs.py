"""What was given to `windows`, checked, and in the order in which it is worked on: by instrument, then by time."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from liqtape.batch import SIDES
from liqtape.batch.ranks import Ints, moved, places_when_sorted
from liqtape.money import MICRO, micro_of

__all__ = ["Column", "Events", "Moments"]

Column = NDArray[Any]

_INT64 = 2**63
_CODES = 1 << 16  # that many can be used as they are, and sorted by radix in a fifth of the time
_SURE, _FLOAT_IS_ENOUGH = 0.49, 1e13  # as in `money.micro_of`, which decides the rest


class Events:
    """The events sorted by `keys`: their time since the first one, each instrument a stride beyond the one before.

    `places` is where each event of the columns given stands then; None where these were in order.
    """

    def __init__(
        self,
        event_ms: ArrayLike,
        usd: ArrayLike,
        side: ArrayLike,
        instrument: ArrayLike | None,
        at_instrument: ArrayLike | None,
        largest_ms: int,
    ) -> None:
        times, micro, sides = integers(event_ms, "event_ms"), micro_usd(usd), side_codes(side)
        codes, self.at_codes, groups = _instrument_codes(instrument, at_instrument)
        lengths = [len(column) for column in (times, micro, sides, codes) if column is not None]
        if len(set(lengths)) > 1:
            raise ValueError(f"columns of different lengths: {lengths}")
        self.times = times
        self.has_instruments = codes is not None
        self.first, self.last = (int(times.min()), int(times.max())) if len(times) else (0, 0)
        self.largest_ms = largest_ms
        self.stride = self.last - self.first + largest_ms + 1  # no window reaches from one into another
        if self.stride * groups >= _INT64:
            raise ValueError(f"{groups} instruments over {self.last - self.first} ms are too many")
        keys = times - self.first
        if codes is not None:
            keys += codes * self.stride
        self.places = places_when_sorted(keys, codes if groups <= _CODES else None, times)
        self.keys, self.micro, self.sides = (moved(column, self.places) for column in (keys, micro, sides))


class Moments:
    """The evaluation times, as the keys of the events are."""

    def __init__(self, events: Events, at_ms: ArrayLike) -> None:
        self.times = integers(at_ms, "at_ms")
        if events.has_instruments != (events.at_codes is not None):
            raise ValueError("at_instrument has to say whose windows these are")
        # Beyond these bounds windows are as empty as at them.
        keys = np.clip(self.times, events.first - 1, events.last + events.largest_ms) - events.first
        if events.at_codes is not None:
            keys += np.broadcast_to(events.at_codes, keys.shape) * events.stride
        self.places = places_when_sorted(keys, None, keys)
        self.keys = moved(keys, self.places)


def _column(given: ArrayLike, name: str) -> Column:
    values = np.asarray(given)
    if values.ndim != 1:
        raise ValueError(f"{name} is not a column")
    return values


def integers(column: ArrayLike, name: str) -> Ints:
    """A column of whole numbers; floats are not rounded but refused."""
    values = _column(column, name)
    if values.dtype.kind not in "iu" and values.size:
        raise ValueError(f"{name} holds {values.dtype}, not integers")
    return values.astype(np.int64, copy=False)


def micro_usd(usd: ArrayLike) -> Column:
    """Micro-USD as 64-bit integers, as Python's own where one of them does not fit."""
    values = _column(usd, "usd")
    if values.dtype == object and not all(isinstance(value, int) for value in values):
        values = values.astype(np.float64)  # None: not a number
    if values.dtype.kind == "f":
        return _micro_of_floats(values.astype(np.float64, copy=False))
    if values.dtype.kind not in "iuO":
        raise ValueError(f"usd holds {values.dtype}, not numbers")
    if values.dtype.kind == "i":
        return values.astype(np.int64, copy=False)
    exact = values.astype(object)
    try:
        return exact.astype(np.int64)
    except OverflowError:
        return exact


def _micro_of_floats(usd: NDArray[np.float64]) -> Column:
    """`micro_of` of each, 0 where unknown."""
    if bool(np.isinf(usd).any()):
        raise ValueError("usd holds infinity")
    with np.errstate(over="ignore", invalid="ignore"):
        product = usd * MICRO
        nearest = np.rint(product)
        sure = (np.abs(product - nearest) < _SURE) & (np.abs(product) < _FLOAT_IS_ENOUGH)
    micro: Column = np.where(sure, nearest, 0.0).astype(np.int64)
    unsure = np.flatnonzero(~sure & ~np.isnan(usd))
    exact = [micro_of(amount) for amount in usd[unsure].tolist()]
    if any(not -_INT64 <= amount < _INT64 for amount in exact):
        micro = micro.astype(object)
    micro[unsure] = exact
    return micro


def side_codes(side: ArrayLike) -> Column:
    """The place of each side in `SIDES`."""
    sides = _column(side, "side")
    if sides.dtype.kind in "iu":
        codes: Column = sides
        known = (sides >= 0) & (sides < len(SIDES))
    else:
        codes = np.full(sides.shape, -1, np.int8)
        for code, name in enumerate(SIDES):
            codes[np.asarray(sides == name)] = code
        known = codes >= 0
    if not bool(known.all()):
        raise ValueError(f"side holds {sides[~known][0]!r}, neither of {SIDES} nor a place in it")
    return codes.astype(np.int8, copy=False)


def _instrument_codes(
    instrument: ArrayLike | None, at_instrument: ArrayLike | None
) -> tuple[Ints | None, Ints | None, int]:
    """(codes of the events, of the evaluations, how many there are): names are numbered together."""
    if instrument is None:
        if at_instrument is not None:
            raise ValueError("at_instrument needs a column of instruments")
        return None, None, 1
    names = _column(instrument, "instrument")
    at_names = None if at_instrument is None else np.asarray(at_instrument)
    every = names if at_names is None else np.concatenate([names, at_names.ravel()])
    if every.dtype.kind in "iu" and bool(((every >= 0) & (every < _CODES)).all()):
        codes = every.astype(np.int64, copy=False)
    else:
        codes = np.unique(every, return_inverse=True)[1]
    groups = int(codes.max()) + 1 if len(codes) else 1
    at_codes = None if at_names is None else codes[len(names) :].reshape(at_names.shape)
    return codes[: len(names)], at_codes, groups
