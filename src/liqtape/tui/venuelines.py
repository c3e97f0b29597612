"""The states of the venues: beside each other where lines are few, a line each where there are many."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from liqtape.events import VenueHealth
from liqtape.sanitize import sanitize
from liqtape.tui.wording import NOTHING, age, state_style

__all__ = ["compact_venues", "venue_table"]

_CELL = 38
_BETWEEN = 2
_WIDTHS = (13, 11, 11, 14, 11)
_TITLES = ("venue", "state", "last data", "coverage 300s", "reconnects")


def compact_venues(health: Sequence[VenueHealth], width: int) -> list[Text]:
    """Return venues beside each other, those that are not live first."""
    beside = max(1, min(len(health), (width + _BETWEEN) // (_CELL + _BETWEEN)))
    cell = max(1, (width - _BETWEEN * (beside - 1)) // beside)
    ordered = sorted(health, key=lambda venue: venue.state == "live")
    lines = []
    for first in range(0, len(ordered), beside):
        line = Text()
        for venue in ordered[first : first + beside]:
            part = _compact(venue, cell)
            part.truncate(cell, overflow="ellipsis", pad=True)
            line.append(" " * _BETWEEN if line else "").append_text(part)
        lines.append(line)
    return lines


def _compact(venue: VenueHealth, width: int) -> Text:
    """Return a venue in few words; of one that is not live, what is wrong comes first, and is cut where it must be."""
    line = Text(sanitize(venue.venue)).append(" ").append(sanitize(venue.state), style=state_style(venue.state))
    last = "no data yet" if venue.last_data_age_s is None else age(venue.last_data_age_s)
    facts = [last, f"covered {_covered(venue)}"]
    detail = sanitize(venue.detail)
    if detail and venue.state != "live":
        facts.insert(0, detail)
    elif detail and line.cell_len + cell_len(f" {', '.join([*facts, detail])}") <= width:
        facts.append(detail)
    return line.append(f" {', '.join(facts)}", style="dim")


def venue_table(health: Sequence[VenueHealth], width: int) -> list[Text]:
    """Return a title and a line a venue, with what is wrong with it in words."""
    lines = [_cells([Text(title, style="bold") for title in _TITLES], "", width)]
    for venue in health:
        cells = [
            Text(sanitize(venue.venue)),
            Text(sanitize(venue.state), style=state_style(venue.state)),
            Text("never" if venue.last_data_age_s is None else f"{age(venue.last_data_age_s)} ago"),
            Text(_covered(venue)),
            Text(f"{venue.reconnects:,}"),
        ]
        lines.append(_cells(cells, venue.detail, width))
    return lines


def _cells(cells: Sequence[Text], rest: str, width: int) -> Text:
    line = Text()
    for cell, cell_width in zip(cells, _WIDTHS, strict=True):
        cell.truncate(cell_width, overflow="ellipsis", pad=True)
        line.append_text(cell).append("  ")
    line.append(sanitize(rest), style="dim")
    line.truncate(width, overflow="ellipsis")
    return line


def _covered(venue: VenueHealth) -> str:
    # Rounded down: 99.9 % is not all of it.
    return NOTHING if venue.coverage is None else f"{int(100 * venue.coverage)} %"
