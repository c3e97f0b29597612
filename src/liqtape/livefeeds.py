"""The feeds of a running service: what they bring and say goes into the pipeline, at our time."""

import ssl
from collections.abc import Callable, Mapping, Sequence

from liqtape.events import Event, Gap, VenueHealth
from liqtape.factory import price_feed
from liqtape.feeds.backoff import Timeouts
from liqtape.feeds.pricefeed import is_refused
from liqtape.feeds.venuefeed import VenueFeed
from liqtape.instruments import Contract
from liqtape.ledger import Ledger
from liqtape.pipeline.gaps import STARTING
from liqtape.pipeline.pipeline import Pipeline
from liqtape.recording.recorder import Track
from liqtape.settings import Settings
from liqtape.shutdown import Deadline, end
from liqtape.venues import VENUES
from liqtape.venues.base import BackfillPage, BackfillRequest, Backfills, Venue

__all__ = ["LiveFeeds"]


class LiveFeeds:
    """The feeds of the enabled venues, and that of the price.

    It is what they talk to (a `FeedListener`): it adds the time and hands on. Frames go to the pipeline directly.
    """

    def __init__(
        self,
        settings: Settings,
        pipeline: Pipeline,
        our_ms: Callable[[], int],
        *,
        track: Track,
        ssl_context: ssl.SSLContext | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.ingest = pipeline.ingest  # what a socket brought says itself when that was
        self._pipeline = pipeline
        self._our_ms = our_ms
        self.venues = [
            VenueFeed(
                VENUES[name],
                settings.venues[name],
                pipeline.instruments,
                target=target,
                listener=self,
                ssl_context=ssl_context,
                timeouts=timeouts,
                track=track,
            )
            for name, target in pipeline.targets.items()
        ]
        self.price = price_feed(
            settings,
            pipeline.targets,
            pipeline.price.choice.selector,
            self._offer_prices,
            ssl_context=ssl_context,
            track=track,
            now=lambda: our_ms() / 1000,
        )

    def begin(self) -> None:
        """Note that no venue is live yet."""
        now_ms = self._pipeline.clock.t_ms(self._our_ms())
        for feed in self.venues:
            self._pipeline.feeds.begin(Gap(feed.venue.name, now_ms, None, STARTING))

    def pulse(self) -> None:
        """Open and close what the price needs; once a second."""
        self.price.pulse([feed.venue.name for feed in self.venues if any(map(is_refused, feed.connections))])

    async def stop(self, deadline: Deadline) -> None:
        """Close every connection, and begin no other."""
        await end(deadline.left(), self.price.stop(), *(feed.stop() for feed in self.venues))

    def ledgers(self) -> list[tuple[str, Ledger]]:
        """Return (name, ledger) of every connection, past ones summed per venue."""
        return [pair for feed in self.venues for pair in feed.ledgers()] + self.price.ledgers()

    def health(self, now_ms: int, at: Mapping[str, int]) -> list[VenueHealth]:
        """Return a record a venue, at these evaluation times."""
        shifts, engine = self._pipeline.clock.shifts, self._pipeline.engine
        return [feed.health(engine, now_ms, at, shifts.get(feed.venue.name, 0)) for feed in self.venues]

    def known_until_ms(self) -> dict[str, int]:
        """Return up to where what each live venue sent is known."""
        return {feed.venue.name: at_ms for feed in self.venues if (at_ms := feed.known_until_ms) is not None}

    # What the feeds say, see `FeedListener`.

    def feed_up(self, venue: str, at_ms: int) -> Gap | None:
        """Hand on that a venue is live; return the gap that ended."""
        return self._pipeline.feeds.up(venue, at_ms, self._our_ms())

    def feed_down(self, venue: str, known_until_ms: int, reason: str) -> None:
        """Hand on that a venue is lost."""
        self._pipeline.feeds.down(venue, known_until_ms, reason, self._our_ms())

    def feed_missed(self, venue: str, from_ms: int, until_ms: int, reason: str) -> Sequence[Gap]:
        """Hand on that a venue had not been live; return what gaps that makes."""
        return self._pipeline.feeds.missed(venue, from_ms, until_ms, reason, self._our_ms())

    def feed_refused(self, venue: str, at_ms: int, reason: str) -> None:
        """Hand on what a living feed is refused."""
        self._pipeline.feeds.refused(venue, at_ms, reason, self._our_ms())

    def feed_unsubscribed(self, venue: str, at_ms: int, instruments: Sequence[str], *, is_listed: bool) -> None:
        """Hand on which instruments no connection brings."""
        self._pipeline.feeds.unsubscribed(venue, at_ms, instruments, is_listed=is_listed, our_ms=self._our_ms())

    def gap_backfilled(self, gap: Gap) -> None:
        """Hand on that all of a gap was got afterwards."""
        self._pipeline.feeds.backfilled(gap, self._our_ms())

    def listed(self, venue: Venue, contracts: Sequence[Contract], *, is_whole: bool) -> Sequence[str]:
        """Hand on a venue's list; return the symbols that left."""
        return self._pipeline.listed(venue, contracts, is_whole=is_whole)

    def answered(
        self, venue: Backfills, name: str, request: BackfillRequest, payload: bytes, receive_ms: int, ledger: Ledger
    ) -> BackfillPage:
        """Hand on what a venue answered when it was asked for the past."""
        return self._pipeline.answered(venue, name, request, payload, receive_ms, ledger)

    def _offer_prices(self, events: Sequence[Event], source: str) -> None:
        self._pipeline.offer_prices(events, source, self._our_ms())
