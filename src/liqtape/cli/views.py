"""What the command `history` shows with the extra `analysis`: columns of several questions side by side."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from liqtape.history.query.streams import Selection
from liqtape.history.query.unusual import Distribution

if TYPE_CHECKING:
    from liqtape.history.query.query import History

__all__ = ["unusual_view", "with_levels"]


_OF_SURPRISE = frozenset({"event_count_60s", "total_usd_60s"})  # what it is of; as columns of these rows they mislead


def with_levels(
    past: "History", columns: Mapping[str, list[Any]], span: tuple[int, int], selection: Selection, every: int
) -> dict[str, list[Any]]:
    """Return the rows of one stream with its levels, and the volatility of BTC, at the ends of whole steps."""
    told = dict(columns)
    for table in (past.levels(*span, **selection, every=every), past.volatility(*span, every=every)):
        places = {at_ms: place for place, at_ms in enumerate(table["at_ms"].to_pylist())}
        rows = [places.get(at_ms) for at_ms in columns["at_ms"]]
        for name in table.column_names:
            if name not in told and name not in _OF_SURPRISE:
                column = table[name].to_pylist()
                told[name] = [None if place is None else column[place] for place in rows]
    return told


def unusual_view(past: "History", until_ms: int, selection: Selection, days: int) -> dict[str, list[Any]]:
    """Return one row, distributions spread over columns."""
    columns: dict[str, list[Any]] = {}
    for name, value in msgspec.structs.asdict(past.unusual(until_ms, days=days, **selection)).items():
        if name in ("counts", "usds"):
            for field in Distribution.__struct_fields__:
                columns[f"{name.removesuffix('s')}_{field}"] = [getattr(value, field, None)]
        else:
            columns[name] = [value]
    return columns
