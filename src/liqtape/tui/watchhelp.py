"""The keys and the words of `liqtape watch`."""

from textual.app import ComposeResult
from textual.screen import ModalScreen
from textual.widgets import Static

from liqtape.tui.wording import NOTHING

__all__ = ["HelpScreen"]

_HELP = f"""\
liqtape watch: liquidations that happened, as a running liqtape counts them

  arrows, j k   select an instrument      Enter   its tape alone; again: all
  /             filter by name            Escape  no filter, no selection
  s S           sort by another column    r       the other way round
  m             hide small liquidations   l       one side, or both
  p             pause                     t       dark or light
  u             UTC or local time         q       quit

10s/s, 60s/s  liquidations a second over so many seconds; ≥ where a venue hides some
x usual       USD of the last minute against the usual minute of the same instrument
once in       how rarely so much comes; ~ where that is rough
seen          how much of the last five minutes was watched, where not all was
long          a long position was closed;  short  a short one
{NOTHING}             not known; never zero
"""


class HelpScreen(ModalScreen[None]):
    """The keys and the words; any key closes it."""

    CSS = """
    HelpScreen { align: center middle; }
    HelpScreen Static { width: auto; max-width: 100%; padding: 0 2; border: round $primary; background: $background; }
    """

    def compose(self) -> ComposeResult:
        """Show the text."""
        yield Static(_HELP, markup=False)

    def on_key(self) -> None:
        """Go back."""
        self.dismiss(None)
