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
_LOGGED = (
    "events_logged",
    "events_not_logged_full",
    "events_not_logged_disk",
    "events_not_logged_closed",
    "events_not_logged_duplicate",
    "events_not_logged_invalid",
    "events_log_pending",
)
_COUNTED = ("frames_received", *_FRAMES, "events_decoded", *_EVENTS, "events_unsized", "events_unsized_quote")
_FIELDS = (*_COUNTED, *_LOGGED)


class Ledger:
    """Counts of one connection, or the sum of several; with a history log (`is_logged`) also what became of them there.

    `events_unsized` counts accepted events without USD, for whatever reason; `events_unsized_quote` those among them
    whose price is in no dollar. The others count contracts of a size that is not known.

    >>> ledger = Ledger(); ledger.frames_received += 1; ledger.frames_control += 1; ledger.balanced()
    True
    """

    __slots__ = (*_FIELDS, "is_logged")

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
    events_unsized_quote: int
    events_logged: int
    events_not_logged_full: int
    events_not_logged_disk: int
    events_not_logged_closed: int
    events_not_logged_duplicate: int
    events_not_logged_invalid: int
    events_log_pending: int
    is_logged: bool

    def __init__(self) -> None:
        for field in _FIELDS:
            setattr(self, field, 0)
        self.is_logged = False

    def __repr__(self) -> str:
        """Return the counts that are not 0."""
        counts = {field: getattr(self, field) for field in _FIELDS}
        return f"Ledger({', '.join(f'{field}={count}' for field, count in counts.items() if count)})"

    def __add__(self, other: Ledger) -> Ledger:
        total = Ledger()
        for field in _FIELDS:
            setattr(total, field, getattr(self, field) + getattr(other, field))
        total.is_logged = self.is_logged or other.is_logged
        return total

    def count_unsized(self, quantity: float | None) -> None:
        """Count an accepted event without USD; where its quantity is known, it is the price that is in no dollar."""
        self.events_unsized += 1
        self.events_unsized_quote += quantity is not None

    def balanced(self) -> bool:
        """Whether every frame and every event is in exactly one place."""
        return self.imbalance() == 0

    def imbalance(self) -> int:
        """Return how many frames and events are in no place, or in several; 0 unless something is wrong."""
        counts = self.as_dict()
        frames = sum(counts[field] for field in _FRAMES)
        events = sum(counts[field] for field in _EVENTS)
        logged = sum(counts[field] for field in _LOGGED) if self.is_logged else self.events_accepted
        return (
            abs(counts["frames_received"] - frames)
            + abs(counts["events_decoded"] - events)
            + abs(logged - self.events_accepted)
        )

    def as_dict(self) -> dict[str, int]:
        """The counts by name, for health, metrics and summaries; those of the log only where there is one."""
        return {field: getattr(self, field) for field in (_FIELDS if self.is_logged else _COUNTED)}
