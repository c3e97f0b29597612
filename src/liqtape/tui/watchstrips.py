"""The tape, the level changes and the trust of `liqtape watch`."""

from collections.abc import Sequence

from rich.text import Text

from liqtape.sanitize import sanitize
from liqtape.tui.flow import flowed
from liqtape.tui.strips import change_line, liquidation_line
from liqtape.tui.venuelines import compact_venues, venue_table
from liqtape.tui.watchpanels import WatchPanel
from liqtape.tui.wording import ALARM_STYLE, clock, days, usd

__all__ = ["ChangesPanel", "TapePanel", "TrustPanel"]

_STEPS = (0.0, 10_000.0, 100_000.0, 1_000_000.0)
_SIDES = (None, "long", "short")


class TapePanel(WatchPanel):
    """The newest liquidations, of those that are wanted; how many are hidden is always said."""

    instrument: str | None = None
    side: str | None = None
    least_usd = 0.0

    def raise_least(self) -> None:
        """Hide what is smaller than the next step, or nothing again."""
        self.least_usd = _STEPS[(_STEPS.index(self.least_usd) + 1) % len(_STEPS)]

    def change_side(self) -> None:
        """Show one side, or both again."""
        self.side = _SIDES[(_SIDES.index(self.side) + 1) % len(_SIDES)]

    def lines(self, width: int, height: int) -> Sequence[Text]:
        wanted = self.watched.tape(self.instrument, self.side, 0.0)
        shown = self.watched.tape(self.instrument, self.side, self.least_usd)
        title = Text("tape", style="bold")
        if self.instrument is not None:
            title.append(f" of {sanitize(self.instrument)}")
        if self.side is not None:
            title.append(f", {self.side}s only")
        if self.least_usd:
            title.append(f", {len(wanted) - len(shown):,} hidden below {usd(self.least_usd)}")
        if self.watched.missed_total:
            title.append(f", {self.watched.missed_total:,} not told", style="yellow")
        lines = [title, *(liquidation_line(event, width, self.zone) for event in shown[: max(0, height - 1)])]
        return lines if shown else [title, Text("none yet", style="dim")]


class ChangesPanel(WatchPanel):
    """The last level changes, and from when on a message is sent."""

    def lines(self, width: int, height: int) -> Sequence[Text]:
        parts = [Text("level changes", style="bold"), *map(Text, self._messages())]
        title = flowed(parts, width)[0]
        changes = [change_line(change, width, self.zone) for change in list(self.watched.changes)[: max(0, height - 1)]]
        return [title, *changes] if changes else [title, Text("none to or from ALERT yet", style="dim")]

    def _messages(self) -> list[str]:
        """Return what of messages is worth a word: the event that is told of, and the effective steps."""
        now = self.watched.now
        plan = None if now is None else now.messages
        if plan is None:
            return []
        told = []
        if plan.open is not None:
            told = [f"{plan.open.messages} messages since {clock(plan.open.began_ms, self.zone)}"]
        steps = [
            f"{what} from once in {days(number)}"
            for what, number in (("market", plan.market_days), ("instrument", plan.instrument_days))
            if number is not None
        ]
        return [*told, *([f"a message: {', '.join(steps)}"] if steps else [])]


class TrustPanel(WatchPanel):
    """The venues, then the ledger in one line."""

    def lines(self, width: int, height: int) -> Sequence[Text]:
        table = venue_table(self.watched.health, width)
        compact = compact_venues(self.watched.health, width)
        venues = table if len(table) < height else compact
        troubles = [Text(f"{sanitize(t.subject)}: {sanitize(t.reason)}", style="yellow") for t in self.watched.troubles]
        room = max(0, height - 1 - len(venues))
        return [*venues[: height - 1], *troubles[:room], self._ledger(width)]

    def _ledger(self, width: int) -> Text:
        more = self.watched.more
        if more is None:
            return Text("ledger: not told yet", style="dim")
        counts = more.ledger
        rejected = sum(count for name, count in counts.items() if name.startswith("events_rejected"))
        verdict = Text(f"ledger {'adds up' if more.is_balanced else 'DOES NOT ADD UP'}")
        verdict.stylize("" if more.is_balanced else ALARM_STYLE)
        parts = [
            f"{counts.get('events_accepted', 0):,} events",
            f"{counts.get('events_duplicate', 0):,} repeats",
            f"{rejected:,} rejected",
            f"{counts.get('events_unsized', 0):,} without USD",
            f"{counts.get('frames_undecodable', 0):,} undecodable",
        ]
        return flowed([verdict, *map(Text, parts)], width)[0]
