"""What the command `history` shows: tables of the history put side by side."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

from liqtape.history.query.streams import By, Selection
from liqtape.history.query.unusual import Distribution

if TYPE_CHECKING:
    from liqtape.history.query.query import History

__all__ = ["series_view", "summary_view", "unusual_view"]


def summary_view(past: "History", span: tuple[int, int], selection: Selection, by: By, window: int) -> pa.Table:
    """All together in the first row, then each stream, the one with most USD first."""
    whole = past.summary(*span, **selection, by=None, seconds=window)
    each = past.summary(*span, **selection, by=by, seconds=window)
    return pa.concat_tables([whole, each.sort_by([("total_value_usd", "descending"), (by, "ascending")])])


def series_view(
    past: "History", span: tuple[int, int], selection: Selection, by: By | None, window: int, every: int
) -> pa.Table:
    """A row each `every` seconds; of one stream also its level and surprise, and the volatility of BTC."""
    table = past.velocity(*span, **selection, by=by, every=every, seconds=[window])
    if by is not None:
        return table
    levels = past.levels(*span, **selection, every=every)
    return _beside(table, [levels.drop_columns(["at_ms"]), past.volatility(*span, every=every).drop_columns(["at_ms"])])


def _beside(table: pa.Table, others: Sequence[pa.Table]) -> pa.Table:
    for other in others:
        for name in other.column_names:
            if name not in table.column_names:
                table = table.append_column(name, other[name])
    return table


def unusual_view(past: "History", until_ms: int, selection: Selection, days: int) -> pa.Table:
    """One row, distributions spread over columns."""
    columns: dict[str, object] = {}
    for name, value in msgspec.structs.asdict(past.unusual(until_ms, days=days, **selection)).items():
        if name in ("counts", "usds"):
            for field in Distribution.__struct_fields__:
                columns[f"{name.removesuffix('s')}_{field}"] = getattr(value, field, None)
        else:
            columns[name] = value
    return pa.table({name: [value] for name, value in columns.items()})
