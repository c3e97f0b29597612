"""Past velocities as Arrow tables, by the batch path: equal to the engine's to the last digit."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from liqtape.batch import windows
from liqtape.batch.columns import WindowColumns, quotient
from liqtape.batch.inputs import micro_usd
from liqtape.errors import ConfigurationError
from liqtape.events import Side
from liqtape.history.query.streams import Ints, Streams
from liqtape.money import MICRO

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["summary_table", "velocity_table"]

_MOST_ROWS = 20_000_000
_SIDES: tuple[Side, ...] = ("long", "short")


def velocity_table(streams: Streams, at_ms: Ints, seconds: Sequence[int], *, all_rows: bool) -> "pa.Table":
    """Return a row for each evaluation time and stream.

    Without `all_rows` there are rows only where the largest window has an event.
    """
    if len(at_ms) * len(streams.names) > _MOST_ROWS:
        raise ConfigurationError(
            f"{len(at_ms):,} steps of {len(streams.names):,} streams are more than {_MOST_ROWS:,} rows: ask for longer "
            "steps, or a shorter span"
        )
    times, codes = np.repeat(at_ms, len(streams.names)), np.tile(np.arange(len(streams.names)), len(at_ms))
    rows = windows(
        streams.event_ms, streams.usd, streams.sides, streams.codes, at_ms=times, at_instrument=codes, seconds=seconds
    )
    largest = max(seconds)
    shown = np.arange(len(times)) if all_rows else np.flatnonzero(rows.count(largest))
    times, codes = times[shown], codes[shown]
    columns: dict[str, Any] = {"at_ms": times, **_named(streams, codes)}
    for length in seconds:
        for name, column in _window(rows, length).items():
            columns[f"{name}_{length}s"] = column[shown]
        columns[f"coverage_{length}s"] = streams.coverage(times, codes, length)
    columns["acceleration"] = rows.acceleration()[shown]
    columns["acceleration_se"] = rows.acceleration_se()[shown]
    columns["partial"] = streams.partial(codes, columns[f"coverage_{largest}s"])
    return _arrow(columns)


def _window(rows: WindowColumns, seconds: int) -> dict[str, Any]:
    return {
        "event_count": rows.count(seconds),
        "velocity": rows.velocity(seconds),
        "velocity_se": rows.velocity_se(seconds),
        "usd_velocity": rows.usd_velocity(seconds),
        "usd_velocity_se": rows.usd_velocity_se(seconds),
        **{f"{side}_count": rows.count(seconds, side) for side in _SIDES},
        **{f"{side}_usd": rows.usd(seconds, side) for side in _SIDES},
        "imbalance_count": rows.imbalance_count(seconds),
        "imbalance_usd": rows.imbalance_usd(seconds),
    }


def summary_table(streams: Streams, from_ms: int, until_ms: int, seconds: int) -> "pa.Table":
    """Return a row for each stream: totals in (from, until], the highest window and slope after any event there."""
    rows = windows(streams.event_ms, streams.usd, streams.sides, streams.codes, seconds=[seconds])
    inside = (streams.event_ms > from_ms) & (streams.event_ms <= until_ms)
    order = np.flatnonzero(inside)[np.lexsort((streams.event_ms[inside], streams.codes[inside]))]
    codes, begins = np.unique(streams.codes[order], return_index=True)
    micro, times = micro_usd(streams.usd)[order], streams.event_ms[order]
    counts, usd_velocity, slopes = (
        column[order] for column in (rows.count(seconds), rows.usd_velocity(seconds), rows.acceleration())
    )

    def of_each(operation: Any, column: Any) -> Any:
        return operation.reduceat(column, begins) if len(begins) else column[:0]

    columns: dict[str, Any] = _named(streams, codes)
    columns["event_count"] = of_each(np.add, np.ones(len(order), np.int64))
    columns["unsized"] = of_each(np.add, np.isnan(streams.usd[order]).astype(np.int64))
    columns["total_value_usd"] = quotient(of_each(np.add, micro), MICRO)
    for place, side in enumerate(_SIDES):
        of_side = streams.sides[order] == place
        columns[f"{side}_count"] = of_each(np.add, of_side.astype(np.int64))
        columns[f"{side}_usd"] = quotient(of_each(np.add, np.where(of_side, micro, 0)), MICRO)
    columns["largest_usd"] = of_each(np.fmax, streams.usd[order])
    columns[f"highest_velocity_{seconds}s"] = of_each(np.maximum, counts) / seconds
    columns["highest_velocity_ms"] = _first_highest(counts, times, begins)
    columns[f"highest_usd_velocity_{seconds}s"] = of_each(np.maximum, usd_velocity)
    columns["highest_acceleration"] = of_each(np.maximum, slopes)
    columns["coverage"] = streams.coverage(np.full(len(codes), until_ms), codes, max(1, (until_ms - from_ms) // 1000))
    columns["partial"] = streams.partial(codes, columns["coverage"])
    return _arrow(columns)


def _first_highest(counts: Any, times: Any, begins: Any) -> Ints:
    parts = np.split(np.arange(len(counts)), begins[1:]) if len(begins) else []
    return np.array([times[part[np.argmax(counts[part])]] for part in parts], np.int64)


def _named(streams: Streams, codes: Ints) -> dict[str, Any]:
    """Return the columns `instrument` and `venue`: null where a row is of all of them."""
    import pyarrow as pa

    names = [streams.names[code] for code in codes.tolist()]
    return {name: pa.array([label[name] for label in names], pa.string()) for name in ("instrument", "venue")}


def _arrow(columns: Mapping[str, Any]) -> "pa.Table":
    """Turn NumPy's not-a-number into null: not defined."""
    import pyarrow as pa

    return pa.table({name: pa.array(column, from_pandas=True) for name, column in columns.items()})
