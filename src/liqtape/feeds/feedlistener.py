"""Whom the feeds tell what they bring, and what they say of themselves."""

from collections.abc import Sequence
from typing import Protocol

from liqtape.events import Event, Gap
from liqtape.instruments import Contract
from liqtape.ledger import Ledger
from liqtape.venues.base import BackfillPage, BackfillRequest, Backfills, Venue

__all__ = ["BackfillListener", "FeedListener"]


class BackfillListener(Protocol):
    """Gets what a venue tells of its past."""

    def gap_backfilled(self, gap: Gap, /) -> None:
        """Hear that everything of a gap was got afterwards."""

    def answered(
        self, venue: Backfills, name: str, request: BackfillRequest, payload: bytes, receive_ms: int, ledger: Ledger, /
    ) -> BackfillPage:
        """Take in an answer about the past. Raises DecodeError where it is none."""


class FeedListener(BackfillListener, Protocol):
    """Gets everything of all venues' feeds, each call at the moment it speaks of; times are those of the venue's clock.

    The gaps that are given back are backfilled where the venue tells of the past.
    """

    def ingest(self, events: Sequence[Event], ledger: Ledger, /) -> None:
        """Take in the events of a frame, or of several that came together, counted in `ledger`."""

    def feed_up(self, venue: str, at_ms: int, /) -> Gap | None:
        """Return hear that a venue as a whole is live since then; return the gap that ended."""

    def feed_down(self, venue: str, known_until_ms: int, reason: str, /) -> None:
        """Hear that what the venue sent is known no further than that."""

    def feed_missed(self, venue: str, from_ms: int, until_ms: int, reason: str, /) -> Sequence[Gap]:
        """Return hear that the venue turned out not to have been live in between; return the gaps that makes."""

    def feed_refused(self, venue: str, at_ms: int, reason: str, /) -> None:
        """Hear what living connections are refused since then; nothing any more without a reason.

        An outage ends that as well.
        """

    def feed_unsubscribed(self, venue: str, at_ms: int, instruments: Sequence[str], /, *, is_listed: bool) -> None:
        """Hear which listed instruments no connection brings; unless `is_listed` the list could not be had."""

    def listed(self, venue: Venue, contracts: Sequence[Contract], /, *, is_whole: bool) -> Sequence[str]:
        """Take over a venue's list, or as much of it as could be had; return the symbols that left."""
