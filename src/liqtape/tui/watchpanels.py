"""The parts of `liqtape watch`: each draws lines of text for the room it has, and says which keys it takes."""

from collections.abc import Sequence
from datetime import UTC, tzinfo
from typing import ClassVar

from msgspec.structs import replace
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.events import Click
from textual.message import Message
from textual.widget import Widget

from liqtape.events import LEVELS
from liqtape.sanitize import sanitize
from liqtape.tui.instrumentcolumns import API_COLUMNS, InstrumentColumn, columns_within, heading_line, row_line
from liqtape.tui.palette import repainted
from liqtape.tui.sentence import gone_line, sentence_lines, strip_line
from liqtape.tui.tablerow import TableRow
from liqtape.tui.watched import Watched

__all__ = ["InstrumentsPanel", "SentencePanel", "WatchPanel"]


class WatchPanel(Widget):
    """Draws the lines that `lines` returns; text of strangers is never read as markup."""

    drains = True  # of its colours, where nothing is heard any more

    def __init__(self, name: str) -> None:
        super().__init__(id=name)
        self.watched = Watched()
        self.zone: tzinfo = UTC
        self.is_gone = False

    def lines(self, width: int, height: int) -> Sequence[Text]:
        """Return what is to be seen; what is too long is cut."""
        raise NotImplementedError

    def render(self) -> Text:
        """Return the lines as one text."""
        width, height = self.size
        lines = list(self.lines(width, height))[:height]
        for line in lines:
            line.truncate(width, overflow="ellipsis")
        if self.is_gone and self.drains:
            lines = [Text(line.plain, style="dim") for line in lines]
        is_dark = self.app.current_theme.dark
        return Text("\n", no_wrap=True, end="").join(repainted(line, is_dark=is_dark) for line in lines)


class SentencePanel(WatchPanel):
    """The sentence and the strip."""

    drains = False
    silent_seconds = 0.0
    said = ""  # of the view: paused, filtered

    def lines(self, width: int, height: int) -> Sequence[Text]:
        now = self.watched.now
        if now is None:
            return [Text(f"waiting for the first word {self.watched.lost}")]
        lines = sentence_lines(now, self.watched.leaders(), width, height - 1, self.zone)
        if self.is_gone:
            return [*lines, gone_line(self.silent_seconds, self.watched.as_of_ms, self.watched.lost, width, self.zone)]
        strip = strip_line(now, self.silent_seconds, width - len(self.said) - 1 if self.said else width)
        return [*lines, Text(f"{self.said} ", style="bold reverse") + strip if self.said else strip]


class InstrumentsPanel(WatchPanel, can_focus=True):
    """The table of instruments; one of them can be selected, and stays so wherever its row goes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "move(-10)", "Page up", show=False),
        Binding("pagedown", "move(10)", "Page down", show=False),
        Binding("home", "move(-100000)", "First", show=False),
        Binding("end", "move(100000)", "Last", show=False),
        Binding("enter", "choose", "Its tape", show=False),
        Binding("s", "sort_by(1)", "Sort by the next column", show=False),
        Binding("S", "sort_by(-1)", "Sort by the column before", show=False),
        Binding("r", "turn_around", "The other way round", show=False),
    ]

    class Chosen(Message):
        """An instrument was chosen, for whose liquidations one wants to see."""

        def __init__(self, symbol: str) -> None:
            super().__init__()
            self.symbol = symbol

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.filter = ""
        self.selected: str | None = None
        self._column: InstrumentColumn | None = None  # None: what is raised first, then by USD
        self._is_ascending = False
        self._first = 0
        self._order: list[str] = []

    def settle(self) -> None:
        """Put the rows into their order; called once a second, so that nothing jumps under a reader."""
        rows = list(self.watched.matching(self.filter))
        is_by_name = self._column is API_COLUMNS[0]
        rows.sort(key=lambda row: row.symbol, reverse=is_by_name and not self._is_ascending)
        if not is_by_name:
            rows.sort(key=self._rank, reverse=not self._is_ascending)
        self._order = [row.symbol for row in rows]

    def _rank(self, row: TableRow) -> tuple[float, float]:
        if self._column is None:
            return LEVELS.index(row.level), row.usd_60s
        number = self._column.number(row)
        unknown_last = float("inf") if self._is_ascending else float("-inf")
        return unknown_last if number is None else number, row.usd_60s

    def shown(self) -> list[TableRow]:
        """Return the rows in their order; what came since it was settled stands at the end."""
        rows = self.watched.rows
        order = [symbol for symbol in self._order if symbol in rows]
        known = set(order)
        new = [row.symbol for row in self.watched.matching(self.filter) if row.symbol not in known]
        return [rows[symbol] for symbol in (*order, *new)]

    def lines(self, width: int, height: int) -> Sequence[Text]:
        rows = self.shown()
        room = max(0, height - 1)
        place = self._place(rows)
        if place is not None:
            self._first = min(max(self._first, place - room + 1), place)
        self._first = max(0, min(self._first, len(rows) - room))
        columns = columns_within(width, API_COLUMNS)
        head = heading_line(self._titled(columns, len(rows)))
        lines = [head]
        for row in rows[self._first : self._first + room]:
            line = row_line(columns, row)
            if row.symbol == self.selected:
                name = columns[0].cell(row)
                name.truncate(columns[0].width, overflow="ellipsis")
                line.stylize("reverse", 0, len(name))
            lines.append(line)
        if not rows:
            which = f" of {sanitize(self.filter)!r}" if self.filter else ""
            lines.append(Text(f"no liquidation{which} in the last five minutes", style="dim"))
        return lines

    def _titled(self, columns: Sequence[InstrumentColumn], count: int) -> list[InstrumentColumn]:
        sorted_by = None if self._column is None else self._column.title
        arrow = "↑" if self._is_ascending else "↓"
        titled = [replace(each, title=each.title + arrow) if each.title == sorted_by else each for each in columns]
        counts = f"{f'{count}/' if self.filter else ''}{len(self.watched.rows)}"
        return [replace(titled[0], title=f"{titled[0].title} {counts}"), *titled[1:]]

    def _place(self, rows: Sequence[TableRow]) -> int | None:
        return next((place for place, row in enumerate(rows) if row.symbol == self.selected), None)

    def action_move(self, by: int) -> None:
        """Select another row."""
        rows = self.shown()
        if rows:
            place = self._place(rows)
            start = place if place is not None else (self._first - 1 if by > 0 else self._first)
            self.selected = rows[max(0, min(len(rows) - 1, start + by))].symbol
            self.refresh()

    def action_choose(self) -> None:
        """Ask for the liquidations of the selected instrument."""
        if self.selected is not None:
            self.post_message(self.Chosen(self.selected))

    def action_sort_by(self, step: int) -> None:
        """Sort by another column of those that are seen; behind the last is the usual order."""
        columns = API_COLUMNS[: len(columns_within(self.size.width, API_COLUMNS))]
        place = -1 if self._column is None or self._column not in columns else columns.index(self._column)
        place = (place + 1 + step) % (len(columns) + 1) - 1
        self._column = None if place < 0 else columns[place]
        self._is_ascending = self._column is API_COLUMNS[0]
        self.settle()
        self.refresh()

    def action_turn_around(self) -> None:
        """Sort the other way round."""
        self._is_ascending = not self._is_ascending
        self.settle()
        self.refresh()

    def on_click(self, click: Click) -> None:
        """Select the row under the pointer."""
        rows = self.shown()
        place = self._first + click.y - 1
        if click.y > 0 and place < len(rows):
            self.selected = rows[place].symbol
            self.refresh()
