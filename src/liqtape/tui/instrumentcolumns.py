"""The columns of the table of instruments, and which of them a terminal has room for."""

from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace
from rich.text import Text

from liqtape.events import LEVELS
from liqtape.sanitize import sanitize
from liqtape.tui.tablerow import TableRow
from liqtape.tui.wording import LEVEL_STYLES, NOTHING, days, usd

__all__ = ["API_COLUMNS", "COLUMNS", "InstrumentColumn", "columns_within", "heading_line", "row_line"]

_GAP = 1
_ALWAYS = 2  # columns, whatever fits
_WIDEST_NAME = 26
_MOST_ADDED = 2  # cells to each column of a wide terminal
_FEW = "yellow"


class InstrumentColumn(Struct, frozen=True):
    """A column of the table; `number` is what it is sorted by, None where the row has no value."""

    title: str
    width: int
    cell: Callable[[TableRow], Text]
    number: Callable[[TableRow], float | None]
    is_left: bool = False


def columns_within(width: int, among: Sequence[InstrumentColumn] | None = None) -> list[InstrumentColumn]:
    """Return the columns that fit, in their order; what is left over goes to names first, then to all of them."""
    among = COLUMNS if among is None else among
    left = width + _GAP
    kept = 0
    for column in among:
        if kept >= _ALWAYS and left < column.width + _GAP:
            break
        kept += 1
        left -= column.width + _GAP
    name, *others = among[:kept]
    added = min(left, _WIDEST_NAME - name.width)
    wider = max(0, min(_MOST_ADDED, (left - added) // kept))
    columns = [replace(name, width=max(1, name.width + added)), *others]
    return [replace(column, width=column.width + wider) for column in columns]


def heading_line(columns: Sequence[InstrumentColumn]) -> Text:
    """Return the titles above their columns."""
    return _joined(columns, [Text(column.title, style="bold") for column in columns])


def row_line(columns: Sequence[InstrumentColumn], row: TableRow) -> Text:
    """Return the cells of a row below the titles."""
    return _joined(columns, [column.cell(row) for column in columns])


def _joined(columns: Sequence[InstrumentColumn], cells: Sequence[Text]) -> Text:
    line = Text()
    for column, cell in zip(columns, cells, strict=True):
        cell.truncate(column.width, overflow="ellipsis")
        space = " " * (column.width - cell.cell_len)
        line.append(" " * _GAP if line else "")
        if column.is_left:
            line.append_text(cell).append(space)
        else:
            line.append(space).append_text(cell)
    return line


def _level(row: TableRow) -> Text:
    return Text(row.level, style=LEVEL_STYLES[row.level])


def _velocity_10s(row: TableRow) -> Text:
    # What a throttled venue prints is the least there was.
    return Text(f"{'≥' if row.saturated else ''}{row.velocity_10s:.2f}")


def _usual(row: TableRow) -> Text:
    return Text(NOTHING if row.times_usual is None else times(row.times_usual))


def times(ratio: float) -> str:
    """Return a multiple of what is usual.

    >>> times(0.64), times(38.2), times(12_345.0)
    ('0.6x', '38x', '12.3kx')
    """
    return f"{ratio:.1f}x" if ratio < 10 else f"{usd(ratio)}x"


def _return_period(row: TableRow) -> Text:
    is_beyond = row.watched_days is not None and (row.return_days or 0.0) > row.watched_days
    return Text(return_period(row.return_days, is_rough=bool(row.is_learning) or is_beyond))


def return_period(return_days: float | None, *, is_rough: bool) -> str:
    """Return once in how long so much comes, with `~` where that is rough: learned from little, or beyond it."""
    return NOTHING if return_days is None else f"{'~' if is_rough else ''}{days(return_days)}"


def _seen(row: TableRow) -> Text:
    """Return how much of the last 300 s was watched, where that is not all of it."""
    if not row.partial:
        return Text()
    if row.coverage_300s is None or row.coverage_300s >= 1:
        return Text("part", style=_FEW)
    return Text(f"{int(100 * row.coverage_300s)}%", style=_FEW)


def _longs(row: TableRow) -> float | None:
    both = row.long_usd_60s + row.short_usd_60s
    return row.long_usd_60s / both if both else None


def _long_share(row: TableRow) -> Text:
    share = _longs(row)
    return Text(NOTHING if share is None else f"{100 * share:.0f}")


def _estimate(row: TableRow) -> Text:
    return Text(f"{row.velocity_est_10s:.1f}" if row.saturated else "")


# From left to right; the first ones stay longest.
COLUMNS: tuple[InstrumentColumn, ...] = (
    InstrumentColumn("instrument", 14, lambda row: Text(sanitize(row.symbol)), lambda _: None, is_left=True),
    InstrumentColumn("level", 8, _level, lambda row: LEVELS.index(row.level), is_left=True),
    InstrumentColumn("10s/s", 7, _velocity_10s, lambda row: row.velocity_10s),
    InstrumentColumn("60s/s", 7, lambda row: Text(f"{row.velocity_60s:.2f}"), lambda row: row.velocity_60s),
    InstrumentColumn("USD 60s", 8, lambda row: Text(usd(row.usd_60s)), lambda row: row.usd_60s),
    InstrumentColumn("x usual", 7, _usual, lambda row: row.times_usual),
    InstrumentColumn("once in", 8, _return_period, lambda row: row.return_days),
    InstrumentColumn("seen", 5, _seen, lambda row: row.coverage_300s),
    InstrumentColumn("accel/s²", 8, lambda row: Text(f"{row.acceleration:+.3f}"), lambda row: row.acceleration),
    InstrumentColumn("long%", 5, _long_share, _longs),
    InstrumentColumn("USD 300s", 8, lambda row: Text(usd(row.total_value_usd)), lambda row: row.total_value_usd),
    InstrumentColumn("300s/s", 7, lambda row: Text(f"{row.velocity_300s:.3f}"), lambda row: row.velocity_300s),
    InstrumentColumn("long 60s", 8, lambda row: Text(usd(row.long_usd_60s)), lambda row: row.long_usd_60s),
    InstrumentColumn("short 60s", 9, lambda row: Text(usd(row.short_usd_60s)), lambda row: row.short_usd_60s),
    InstrumentColumn("est 10s/s", 9, _estimate, lambda row: row.velocity_est_10s if row.saturated else None),
)

_BLOCKS = "▁▂▃▄▅▆▇█"
_STEPS = 20


def _spark(row: TableRow) -> Text:
    """Return the counts of five minutes as a line of blocks, the newest to the right."""
    beside = max(1, len(row.spark) // _STEPS)
    sums = [sum(row.spark[first : first + beside]) for first in range(0, len(row.spark), beside)]
    most = max(sums, default=0)
    return Text("".join(" " if not count else _BLOCKS[(count * 8 - 1) // most] for count in sums))


_SPARK = InstrumentColumn("last 5 min", _STEPS, _spark, lambda row: float(row.event_count_300s))
_VENUES = InstrumentColumn(
    "venues", 24, lambda row: Text(" ".join(map(sanitize, row.venues))), lambda row: len(row.venues), is_left=True
)
API_COLUMNS: tuple[InstrumentColumn, ...] = (*COLUMNS[:10], _SPARK, *COLUMNS[10:-1], _VENUES, COLUMNS[-1])
"""Those of the rows that the API has."""
