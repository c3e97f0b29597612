"""`liqtape watch`: a running instance in a terminal, over its API."""

import asyncio
import signal
import time
from datetime import UTC, datetime, tzinfo
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.events import Resize
from textual.theme import Theme
from textual.widgets import Footer, Input

from liqtape.tui.apirecords import SeenMessage
from liqtape.tui.apistream import ApiStream
from liqtape.tui.watched import Watched
from liqtape.tui.watchhelp import HelpScreen
from liqtape.tui.watchpanels import InstrumentsPanel, SentencePanel, WatchPanel
from liqtape.tui.watchstrips import ChangesPanel, TapePanel, TrustPanel

__all__ = ["WatchApp"]

_GONE_SECONDS = 4.0  # a message comes once a second
_SETTLE_SECONDS = 1.0
_REFRESH_SECONDS = 0.5  # for what grows old by itself
_HEALTH_SECONDS = 5.0
_TALL = 40  # lines, for a line a venue
_WIDE = 140  # columns, for two lists beside each other
_DARK = Theme("dark", primary="#4da3ff", background="#0b0e14", surface="#0b0e14", foreground="#e6e6e6", dark=True)
_LIGHT = Theme("light", primary="#0b62b8", background="#fbfbf9", surface="#fbfbf9", foreground="#16181d", dark=False)


class WatchApp(App[int]):
    """Shows what the stream tells; returns 0, or 128 and the number of the signal that ended it."""

    ENABLE_COMMAND_PALETTE = False
    TITLE = "liqtape watch"
    CSS = """
    Screen { background: $background; }
    #lists { height: 1fr; layout: vertical; }
    #events { layout: vertical; height: 2fr; width: 100%; }
    #instruments { height: 3fr; width: 100%; }
    #tape { height: 1fr; }
    #changes { height: 1fr; }
    #filter { height: 1; border: none; padding: 0; display: none; }
    .wide #lists { layout: horizontal; }
    .wide #instruments { width: 2fr; height: 100%; }
    .wide #events { width: 1fr; height: 100%; padding-left: 2; }
    .low #changes { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("p", "pause", "Pause"),
        Binding("m", "least", "Min USD"),
        Binding("l", "side", "Side"),
        Binding("t", "theme", "Theme"),
        Binding("u", "zone", "Zone"),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("escape", "clear", "All", show=False),
        Binding("q", "leave(0)", "Quit"),
        Binding("ctrl+c", "leave(130)", "Quit", show=False, priority=True),
    ]

    def __init__(self, stream: ApiStream) -> None:
        super().__init__()
        self._stream = stream
        self._known = Watched()
        self._paused: Watched | None = None
        self._zone: tzinfo = UTC
        self._is_tall = False
        # Kept here: what the stream tells may come before they are mounted, and after.
        self._sentence = SentencePanel("sentence")
        self._instruments = InstrumentsPanel("instruments")
        self._tape, self._changes = TapePanel("tape"), ChangesPanel("changes")
        self._trust = TrustPanel("trust")
        self._typed = Input(placeholder="a part of an instrument's name", id="filter", compact=True)

    def compose(self) -> ComposeResult:
        """Put the panels below each other; which are beside each other decides the size."""
        yield self._sentence
        with Container(id="lists"):
            yield self._instruments
            with Container(id="events"):
                yield self._tape
                yield self._changes
        yield self._trust
        yield self._typed
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Begin to listen."""
        for theme in (_DARK, _LIGHT):
            self.register_theme(theme)
        self.theme = "dark"
        if not self.is_headless:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.action_leave, 128 + signal.SIGTERM)
        self.run_worker(self._stream.run(self._take, self._known.lose), exit_on_error=True)
        self.run_worker(self._ask_health())
        self.set_interval(_REFRESH_SECONDS, self._show)
        self.set_interval(_SETTLE_SECONDS, self._settle)
        self._instruments.focus()

    def on_resize(self, resize: Resize) -> None:
        """Lay out for the new size."""
        width, height = resize.size
        self.screen.set_class(width >= _WIDE, "wide")
        self.screen.set_class(width < _WIDE and height < 30, "low")
        self._sentence.styles.height = 2 if width >= _WIDE else 3
        self._is_tall = height >= _TALL

    def _panels(self) -> tuple[WatchPanel, ...]:
        return self._sentence, self._instruments, self._tape, self._changes, self._trust

    def _take(self, message: SeenMessage) -> None:
        is_first = self._known.now is None
        self._known.take(message, time.monotonic())
        if is_first or message.kind == "snapshot":
            self._settle()
        self._show()

    async def _ask_health(self) -> None:
        while True:
            if (health := await self._stream.health()) is not None:
                self._known.more = health
            await asyncio.sleep(_HEALTH_SECONDS)

    def _settle(self) -> None:
        if not self._paused:
            self._instruments.watched = self._known
            self._instruments.settle()

    def _show(self) -> None:
        silent = self._known.silence(time.monotonic())
        self._sentence.silent_seconds = silent
        self._sentence.said = " PAUSED" if self._paused else ""
        venues = len(self._known.health)
        self._trust.styles.height = venues + 2 + len(self._known.troubles) if self._is_tall else 3
        for panel in self._panels():
            panel.watched = self._known if self._paused is None else self._paused
            panel.is_gone = silent > _GONE_SECONDS
            panel.zone = self._zone
            panel.refresh()

    def action_filter(self) -> None:
        """Let a part of a name be typed."""
        self._typed.display = True
        self._typed.focus()

    def on_input_changed(self, changed: Input.Changed) -> None:
        """Show what has that text in its name."""
        self._instruments.filter = changed.value.strip()
        self._instruments.settle()
        self._show()

    def on_input_submitted(self) -> None:
        """Go back to the rows, filtered as they are."""
        self._typed.display = bool(self._typed.value.strip())
        self._instruments.focus()

    def on_instruments_panel_chosen(self, chosen: InstrumentsPanel.Chosen) -> None:
        """Show the tape of one instrument, or of all again."""
        self._tape.instrument = None if self._tape.instrument == chosen.symbol else chosen.symbol
        self._show()

    def action_clear(self) -> None:
        """Show everything again."""
        self._typed.value, self._typed.display = "", False
        self._instruments.selected = None
        self._instruments.focus()
        self._tape.instrument = None
        self._show()

    def action_pause(self) -> None:
        """Keep what is seen as it is, or go on with the newest."""
        self._paused = None if self._paused else self._known.frozen()
        self._settle()
        self._show()

    def action_least(self) -> None:
        """Hide small liquidations."""
        self._tape.raise_least()
        self._show()

    def action_side(self) -> None:
        """Show one side, or both."""
        self._tape.change_side()
        self._show()

    def action_theme(self) -> None:
        """Change between dark and light."""
        self.theme = "light" if self.theme == "dark" else "dark"
        self._show()

    def action_zone(self) -> None:
        """Change between UTC and local time."""
        local = datetime.now(UTC).astimezone().tzinfo or UTC
        self._zone = local if self._zone is UTC else UTC
        self._show()

    def action_help(self) -> None:
        """Show keys and words."""
        self.push_screen(HelpScreen())

    def action_leave(self, code: int) -> None:
        """End with this exit code."""
        self.exit(code)
