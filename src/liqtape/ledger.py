"""The ledger: where every frame and every event went. Balanced at any moment, or something is wrong."""

from __future__ import annotations

__all__ = ["Ledger"]

_FRAMES = ("frames_liquidation", "frames_other_topic", "frames_control", "frames_undecodable")
_EVENTS = (
    "events_accepted",
    "events_duplicate",
    "events_rejected_filtered",
    "events_rejected_invalid",
    "events_rejected_future",
    "events_pending",
)
_FIELDS = ("frames_received", *_FRAMES, "events_decoded", *_EVENTS, "events_unsized")


class Ledger:
    """Counts of one connection, or the sum of several.

    >>> ledger = Ledger(); ledger.frames_received += 1; ledger.frames_control += 1; ledger.balanced()
    True
    """

    __slots__ = _FIELDS

    frames_received: int
    frames_liquidation: int
    frames_other_topic: int
    frames_control: int
    frames_undecodable: int
    events_decoded: int
    events_accepted: int
    events_duplicate: int
    events_rejected_filtered: int
    events_rejected_invalid: int
    events_rejected_future: int
    events_pending: int
    events_unsized: int

    def __init__(self) -> None:
        for field in _FIELDS:
            setattr(self, field, 0)

    def __add__(self, other: Ledger) -> Ledger:
        total = Ledger()
        for field in _FIELDS:
            setattr(total, field, getattr(self, field) + getattr(other, field))
        return total

    def balanced(self) -> bool:
        """Whether every frame and every event is in exactly one place."""
        counts = self.as_dict()
        frames = sum(counts[field] for field in _FRAMES)
        events = sum(counts[field] for field in _EVENTS)
        return counts["frames_received"] == frames and counts["events_decoded"] == events

    def as_dict(self) -> dict[str, int]:
        """The counts by name, for health, metrics and summaries."""
        return {field: getattr(self, field) for field in _FIELDS}
