"""Metrics of the past at one go: all windows of a column of liquidations, equal to the engine fed one by one.

`windows` needs NumPy. The estimators beside it are the engine's own, or of a kind that has no online form, and take any
sequence: prices as (time in ms, price), bars, or times in ms.
"""

from __future__ import annotations  # the types of an optional library

from collections.abc import Sequence
from typing import TYPE_CHECKING

from liqtape.engine.correlation.estimators import (
    event_synchronisation,
    ewma_correlation,
    hayashi_yoshida,
    lagged_pearson,
    pearson,
)
from liqtape.engine.price.bars import Bar, garman_klass, parkinson, rogers_satchell, yang_zhang
from liqtape.engine.price.volatility import ewma_variances, grid_returns, realised, two_scale, volatility_factor
from liqtape.errors import MissingExtra
from liqtape.events import WINDOWS, Side

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from liqtape.batch.columns import WindowColumns

__all__ = [
    "SIDES",
    "Bar",
    "event_synchronisation",
    "ewma_correlation",
    "ewma_variances",
    "garman_klass",
    "grid_returns",
    "hayashi_yoshida",
    "lagged_pearson",
    "parkinson",
    "pearson",
    "realised",
    "rogers_satchell",
    "two_scale",
    "volatility_factor",
    "windows",
    "yang_zhang",
]

SIDES: tuple[Side | None, ...] = ("long", "short", None)
"""What a column of sides holds: these, or their places 0, 1 and 2."""


def windows(  # noqa: PLR0913 - four columns, and what is asked of them
    event_ms: ArrayLike,
    usd: ArrayLike,
    side: ArrayLike,
    instrument: ArrayLike | None = None,
    *,
    at_ms: ArrayLike | None = None,
    at_instrument: ArrayLike | None = None,
    seconds: Sequence[int] = WINDOWS,
) -> WindowColumns:
    """The windows after each event, or at the evaluation times `at_ms` of `at_instrument`: a row each, in its order.

    Integer `usd` are micro-USD, floats USD, NaN or None unknown (counted, adds no USD). `side` and `instrument` hold
    names or codes; without `instrument` all events are of one. Events need not be in order: they count as if they had
    come by their time, those of one millisecond as they stand. `seconds` are the lengths of the windows. Raises
    ValueError for columns that are not what they should be or do not fit together, MissingExtra without NumPy.

    >>> rows = windows([1_000_000, 1_005_000, 1_010_000], [800.0, 0.5, 1.25], ["long", "short", "long"])
    >>> rows.count(10).tolist(), rows.usd(10, "long").tolist(), rows.velocity(10).tolist()
    ([1, 2, 2], [800.0, 800.0, 1.25], [0.1, 0.2, 0.2])
    """
    try:
        import numpy  # noqa: F401  (what follows cannot do without)
    except ImportError:
        raise MissingExtra("windows of a column", "analysis") from None
    from liqtape.batch.columns import WindowColumns, longest
    from liqtape.batch.inputs import Events, Moments

    events = Events(event_ms, usd, side, instrument, at_instrument, 1000 * longest(seconds))
    return WindowColumns(events, None if at_ms is None else Moments(events, at_ms), seconds)
