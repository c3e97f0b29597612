"""How many of a sorted column lie before each of many sorted moments: the tails of all windows at one go.

Naive: a binary search over the column for each event and window. Here a table of how many events lie before each
moment is made for one stretch of the column at a time, stays in the cache, and serves all windows. What each way costs:
`benchmarks/batch.py`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ints", "moved", "places_when_sorted", "ranks"]

Ints = NDArray[np.int64]

_STRETCH = 1 << 15
_MOST_CELLS = 16  # of a table with all the answers, per event and moment: it takes 30 ns an event for five windows
_CELLS = (
    2  # of one with nearly all of them, which takes 40 ns: fewer leave more to be searched, more take longer to add
)


def places_when_sorted(keys: Ints, codes: Ints | None, times: Ints) -> Ints | None:
    """Where each of the keys stands when they are sorted, equal ones as they stood; None where they are in order.

    `codes` below 65,536 that come first in the keys, before `times`, make it faster where the times are in order.
    """
    if bool((keys[1:] >= keys[:-1]).all()):
        return None
    if codes is not None and bool((times[1:] >= times[:-1]).all()):
        order = np.argsort(codes.astype(np.uint16), kind="stable")
    else:
        order = np.argsort(keys, kind="stable")
    # The other way round there and back takes a third of the time: one place after the other of each instrument.
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return places


def moved(values: NDArray[Any], places: Ints | None) -> NDArray[Any]:
    """Each value at its place; `values[places]` is the way back."""
    if places is None:
        return values
    result = np.empty_like(values)
    result[places] = values
    return result


def ranks(keys: Ints, moments: Ints, offsets: Sequence[int]) -> list[NDArray[Any]]:
    """For each offset: how many keys are <= moment - offset. Keys, moments and offsets are in order.

    >>> [column.tolist() for column in ranks(np.array([0, 5, 5, 20]), np.array([5, 30]), [0, 10])]
    [[3, 4], [0, 4]]
    """
    kind = np.int32 if len(keys) < 2**31 else np.int64
    columns: list[NDArray[Any]] = [np.empty(len(moments), kind) for _ in offsets]
    start = 0
    while start < len(moments):
        low = int(moments[start]) - offsets[-1]
        first, behind = (int(place) for place in keys.searchsorted([low, int(moments[start])], "right"))
        # At least as long as what it looks back on, so that no event is counted again and again.
        stretch = moments[start : start + max(_STRETCH, behind - first)]
        last = int(keys.searchsorted(int(stretch[-1]) - offsets[0], "right"))
        end = start + len(stretch)
        _rank(keys[first:last] - low, stretch - low, offsets, [column[start:end] for column in columns])
        for column in columns:
            column[start:end] += first
        start = end
    return columns


def _rank(places: Ints, moments: Ints, offsets: Sequence[int], columns: Sequence[NDArray[Any]]) -> None:
    """`ranks` of one stretch: places from 1 on, moments from the largest offset on.

    A table with a cell for each millisecond has the answers. Where it would be too large, a cell takes 2^shift of them
    and tells how many places lie before it; there is hardly ever more than one within.
    """
    size = int(moments[-1]) - offsets[0] + 1
    rows = len(places) + len(moments)
    if size <= _MOST_CELLS * rows:
        table = np.bincount(places, minlength=size)
        np.cumsum(table, out=table)
        for column, offset in zip(columns, offsets, strict=True):
            column[:] = table[moments - offset]
        return
    shift = (size // (_CELLS * rows)).bit_length()
    table = np.bincount((places >> shift) + 1, minlength=(size >> shift) + 2)
    np.cumsum(table, out=table)
    ends = np.append(places, size)  # the last lies behind all moments
    for column, offset in zip(columns, offsets, strict=True):
        limits = moments - offset
        found = table[limits >> shift]
        found += ends[found] <= limits
        more = np.flatnonzero(ends[found] <= limits)
        if len(more):
            found[more] = ends.searchsorted(limits[more], "right")
        column[:] = found
