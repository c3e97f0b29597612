"""Liquidations as the columns that training works on."""

from array import array
from collections.abc import Iterable, Sequence

import numpy as np

from liqtape.events import Liquidation
from liqtape.money import micro_of
from liqtape.training.trainingrows import PastStream

__all__ = ["past_stream"]

_SIDES = {"long": 1, "short": -1}


def past_stream(events: Iterable[Liquidation], spans: Sequence[tuple[int, int]]) -> PastStream:
    """Return events in order of their time as a stream; `spans` are (begin, end) in ms of when it was watched."""
    times, micro, sides = array("q"), array("q"), array("b")
    for event in events:
        times.append(event.event_ms)
        micro.append(0 if event.notional_usd is None else micro_of(event.notional_usd))
        sides.append(0 if event.side is None else _SIDES[event.side])
    return PastStream(
        np.frombuffer(times, np.int64) if times else np.zeros(0, np.int64),
        np.frombuffer(micro, np.int64) if micro else np.zeros(0, np.int64),
        np.frombuffer(sides, np.int8) if sides else np.zeros(0, np.int8),
        sorted(spans),
    )
