"""Two lists beside each other: the last level changes and the largest liquidations."""

from collections.abc import Sequence
from datetime import UTC, tzinfo

from rich.cells import cell_len
from rich.text import Text

from liqtape.engine.velocity import MARKET
from liqtape.events import LEVELS, Alert, Liquidation
from liqtape.sanitize import sanitize
from liqtape.tui.wording import LEVEL_STYLES, clock, usd

__all__ = ["SIDE_STYLES", "change_line", "liquidation_line", "strip_lines"]

_BETWEEN = 2
_NAME = 14
# Never green and red: vendors contradict one another in which is which.
SIDE_STYLES = {"long": "#ff8a4c", "short": "#4da3ff"}


def strip_lines(changes: Sequence[Alert], largest: Sequence[Liquidation], width: int, lines: int) -> list[Text]:
    """Return so many lines, the first one a title; none where there is no room."""
    if lines < 2:
        return [Text()] * lines
    half = max(1, (width - _BETWEEN) // 2)
    left = [
        Text("level changes, newest first", style="bold"),
        *(change_line(change, half) for change in changes[: lines - 1]),
    ]
    right = [Text("largest liquidations of the last hour", style="bold")]
    right += [liquidation_line(liquidation, half) for liquidation in largest[: lines - 1]]
    if not changes:
        left.append(Text("none to or from ALERT yet", style="dim"))
    found = []
    for number in range(lines):
        line = left[number] if number < len(left) else Text()
        line.truncate(half, overflow="ellipsis", pad=True)
        found.append(line + " " * _BETWEEN + (right[number] if number < len(right) else Text()))
    return found


def change_line(alert: Alert, width: int, zone: tzinfo = UTC) -> Text:
    """Return a level change: when, of what, where to; where there is room, from where and by how much."""
    is_up = LEVELS.index(alert.level) > LEVELS.index(alert.previous)
    name = alert.instrument if alert.instrument != MARKET else "the market"
    line = Text(f"{clock(alert.at_ms, zone)} ").append_text(_name(name)).append(" up " if is_up else " down ")
    line.append("to ").append(alert.level, style=LEVEL_STYLES[alert.level])
    return _with_rest(line, f"  from {alert.previous}, {usd(alert.usd_60s)} USD in 60 s", width)


def liquidation_line(liquidation: Liquidation, width: int, zone: tzinfo = UTC) -> Text:
    """Return a liquidation: when, of which side, what, how much; where there is room, at which venue and price."""
    side = liquidation.side or "side?"
    amount = "no USD" if liquidation.notional_usd is None else usd(liquidation.notional_usd)
    line = Text(f"{clock(liquidation.event_ms, zone)} ").append(f"{side:<5} ", style=SIDE_STYLES.get(side, ""))
    line.append_text(_name(liquidation.instrument)).append(f" {amount:>7}")
    return _with_rest(line, f"  {sanitize(liquidation.venue)} at {liquidation.price:,.10g}", width)


def _with_rest(line: Text, rest: str, width: int) -> Text:
    return line.append(rest) if line.cell_len + cell_len(rest) <= width else line


def _name(symbol: str) -> Text:
    name = Text(sanitize(symbol))
    name.truncate(_NAME, overflow="ellipsis", pad=True)
    return name
