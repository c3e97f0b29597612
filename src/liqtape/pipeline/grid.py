"""The grid of whole seconds on which a replay tells what there is to tell."""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from liqtape.cascades.cascade import Cascade
from liqtape.engine.velocity import VelocityEngine
from liqtape.events import Alert, Liquidation, VelocityMetrics

__all__ = ["GridStep", "rows_due"]


class GridStep(Struct, frozen=True):
    """One second of the grid: the liquidations added for it and then the metrics at it, sorted by instrument.

    `cascades` are those of a recording of which something is new.
    """

    second: int
    events: Sequence[Liquidation]
    rows: Sequence[VelocityMetrics]
    alerts: Sequence[Alert]
    cascades: Sequence[Cascade] = ()


def rows_due(
    engine: VelocityEngine,
    instruments: Iterable[str],
    shown: set[str],
    now_ms: int,
    at: Mapping[str, int] | None = None,
) -> list[VelocityMetrics]:
    """The rows due now, `at` as for the engine.

    `shown`, the instruments whose last row was not of zeros, is kept up to date.
    """
    rows = []
    for instrument in sorted(instruments):
        row = engine.metrics(instrument, now_ms, at=at)
        if row is None:
            continue
        if row.event_count_300s:
            shown.add(instrument)
        elif instrument in shown:
            shown.remove(instrument)
        else:
            continue  # came and left between two seconds of the grid
        rows.append(row)
    return rows
