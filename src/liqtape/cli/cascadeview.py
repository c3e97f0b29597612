"""Cascades as the columns of a table that people read."""

from collections.abc import Sequence
from typing import Any

from liqtape.cascades.cascade import Cascade

__all__ = ["cascade_view"]


def cascade_view(cascades: Sequence[Cascade]) -> dict[str, list[Any]]:
    """Return a row a cascade, times to the second; what is not known is None."""
    return {
        "begin_ms": [one.begin_ms // 1000 * 1000 for one in cascades],
        "name": [one.name for one in cascades],
        "side": [one.side for one in cascades],
        "level": [one.level for one in cascades],
        "usd": [one.usd for one in cascades],
        "peak_usd_60s": [one.peak_usd_60s for one in cascades],
        "times_usual": [one.times_usual for one in cascades],
        "events": [one.events for one in cascades],
        "seconds": [None if one.end_ms is None else (one.end_ms - one.begin_ms) / 1000 for one in cascades],
        "leader": [None if one.lead is None else one.lead.venue for one in cascades],
        "moved": [_percent(one.move_during) for one in cascades],
        "moved_after": [_percent(one.move_hour_after) for one in cascades],
        "gaps_total": [None if one.gaps is None else len(one.gaps) for one in cascades],
        "share_observed": [one.share_observed for one in cascades],
        "detector": [one.detector for one in cascades],
    }


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
