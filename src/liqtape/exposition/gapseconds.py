"""Seconds of gaps as counters: ended ones when they end, backfilled ones when they are."""

from collections import Counter

from liqtape.events import Gap

__all__ = ["GapSeconds"]


class GapSeconds:
    """Hears of each gap when it begins, ends and was backfilled, and adds up what may be missing.

    >>> seconds = GapSeconds()
    >>> seconds.gap(Gap("okx", 1_000, None, "reset")); seconds.gap(Gap("okx", 1_000, 3_500, "reset"))
    >>> seconds.gap(Gap("okx", 1_000, 3_500, "reset", backfilled=True))
    >>> dict(seconds.totals)
    {('okx', 'false'): 2.5, ('okx', 'true'): 2.5}
    """

    def __init__(self) -> None:
        self.totals: Counter[tuple[str, str]] = Counter()  # seconds, by venue and whether backfilled

    def gap(self, gap: Gap) -> None:
        """Take in one change of a gap."""
        if gap.until_ms is not None:
            seconds = (gap.until_ms - gap.from_ms) / 1000
            self.totals[gap.venue, "true" if gap.backfilled else "false"] += seconds  # type: ignore[assignment]
