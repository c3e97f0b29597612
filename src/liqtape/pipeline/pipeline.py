"""What live and a replay do alike with decoded events and with what the feeds say of themselves."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec.structs import replace

from liqtape.cascades.choice import CascadeSettings
from liqtape.engine.correlation.comovement import Comovement
from liqtape.engine.velocity import MARKET, VelocityEngine
from liqtape.events import Event, Liquidation, PriceTick, RawLiquidation
from liqtape.instruments import Contract, Instruments, Separation
from liqtape.ledger import Ledger
from liqtape.pipeline.admission import Intake
from liqtape.pipeline.btcprice import BtcPrice, PriceChoice, ticks_of
from liqtape.pipeline.cascadesignals import signals_of
from liqtape.pipeline.cascadewatch import CascadeWatch
from liqtape.pipeline.feedreports import FeedReports
from liqtape.pipeline.fromrest import read_answer, take_list
from liqtape.pipeline.levelalerts import Levels
from liqtape.pipeline.listener import Listeners
from liqtape.pipeline.pricesources import PriceSource
from liqtape.pipeline.seeding import Seeding
from liqtape.sanitize import percent_encoded
from liqtape.venues import VENUES
from liqtape.venues.base import BackfillPage, BackfillRequest, Backfills, Venue

__all__ = ["Pipeline"]


class Pipeline:
    """Everything between a decoded event and what `listeners` hear of it: plain calls, no I/O, no clock.

    ::

        ingest, admit ──▶ Intake ──▶ VelocityEngine ──▶ Listener.accepted ──▶ Levels ──▶ Listener.alert
                            └──────▶ BtcPrice ────────▶ Listener.price
        alerts and signals ────────▶ CascadeWatch ────▶ Listener.cascade
        pulse ──────────▶ what happens by time alone
        feeds ──────────▶ what the feeds say of themselves: FeedReports
        seeding ────────▶ what a run begins with: Seeding

    `targets` are the symbols and instruments watched at each venue, none meaning all; `target` those at venues that are
    not ours. `our_ms` is our own steady time, which is always an argument. `cascades` chooses the detectors.
    """

    def __init__(
        self,
        engine: VelocityEngine,
        targets: Mapping[str, frozenset[str]],
        target: frozenset[str] = frozenset(),
        sources: Sequence[PriceSource] = (),
        our_ms: int = 0,
        cascades: CascadeSettings | None = None,
    ) -> None:
        delays = {venue: VENUES[venue].max_publish_delay_ms for venue in targets}
        self.listeners = Listeners()
        self.engine = engine
        self.targets = targets
        self.instruments = Instruments(_parse_symbol, self._separated, self._forgotten)
        self.intake = Intake(engine, self.instruments, target, targets, delays)
        self.clock = self.intake.clock
        self.feeds = FeedReports(self.engine, self.intake, self.listeners, delays)
        self.price = BtcPrice(self.engine, self.clock, self.listeners, PriceChoice(sources, our_ms / 1000))
        self.seeding = Seeding(self.intake, self.feeds.outages.lives, self.listeners, self._know_again)
        self.comovement = Comovement()
        self.active: set[str] = set()  # instruments with an event in their largest window
        chosen = CascadeSettings() if cascades is None else cascades
        self.cascades = CascadeWatch(engine, self.clock, chosen)
        self.listeners.add(self.cascades)
        self._levels = Levels(self.engine)
        self.signals = signals_of(self.engine, self.clock, self.listeners, chosen)
        self.listeners.add(self.signals)

    def begin(self) -> None:
        """A run begins: events wait for the clocks of the venues, and for their lists of instruments."""
        self.intake.begin()

    # Events.

    def ingest(self, events: Sequence[Event], ledger: Ledger, our_ms: int | None = None) -> None:
        """Take in the events of a frame, or of several that came together.

        They say when they were received; where none does, `our_ms` is the time.
        """
        first = events[0] if events else None
        received = first.receive_ms if isinstance(first, (RawLiquidation, PriceTick)) else _received_ms(events)
        if received is None:
            received = self._now_or_newest(events, our_ms)
        intake = self.intake
        accepted, ticks = intake.take(events, ledger, received)
        if accepted:
            # What a venue repeats at subscribe is counted where it belongs, but is no news.
            self._fan_out(accepted, is_news=not (isinstance(first, RawLiquidation) and first.replayed))
        if intake.is_behind:
            self._reassess(received)
        if ticks:
            self.price.offer(ticks, self.clock.our_ms)

    def _now_or_newest(self, events: Iterable[Event], our_ms: int | None) -> int:
        """Return the time of a frame that bears none: what takes no time itself must not move the clock."""
        is_dated = any(isinstance(event, (RawLiquidation, PriceTick)) for event in events)
        return our_ms if is_dated and our_ms is not None else self.clock.our_ms

    def admit(self, liquidation: Liquidation, ledger: Ledger, our_ms: int) -> None:
        """Take in a liquidation that is neither filtered nor compared with earlier ones.

        Control characters and line breaks of its names are percent-encoded, before anything is stored.
        """
        ledger.events_decoded += 1
        instrument, symbol = percent_encoded(liquidation.instrument), percent_encoded(liquidation.symbol)
        if instrument != liquidation.instrument or symbol != liquidation.symbol:
            liquidation = replace(liquidation, instrument=instrument, symbol=symbol)
        if self.intake.admit(liquidation, ledger, our_ms):
            self._fan_out([liquidation], is_news=True)
        if self.intake.is_behind:
            self._reassess(our_ms)

    def offer_prices(self, events: Iterable[Event], source: str, our_ms: int) -> None:
        """Take in what a connection that is there for the price alone brought; `source` is its name."""
        self.price.offer(ticks_of(events, source), max(our_ms, self.clock.our_ms))

    def answered(
        self, venue: Backfills, name: str, request: BackfillRequest, payload: bytes, receive_ms: int, ledger: Ledger
    ) -> BackfillPage:
        """Take in what a venue answered when it was asked for the past. Raises DecodeError where it is no answer."""
        for listener in self.listeners:
            listener.answered(name, request, payload, receive_ms)
        return read_answer(venue, request, payload, receive_ms, ledger, self.ingest)

    def listed(self, venue: Venue, contracts: Sequence[Contract], *, is_whole: bool) -> Sequence[str]:
        """Take over a venue's list of instruments; returns the symbols that left."""
        for listener in self.listeners:
            listener.listed(venue.name, contracts, is_whole=is_whole)
        listing = take_list(self.instruments, venue, contracts, self.targets[venue.name], is_whole=is_whole)
        for contract in listing.watched:
            self.engine.lists_instrument(contract.venue, contract.instrument)
        return listing.gone

    # Time.

    def pulse(self, our_ms: int) -> set[str]:
        """Once a second: release held events, lower levels, let quiet instruments decay.

        Returns the instruments that are active, or were until now.
        """
        for listener in self.listeners:
            listener.tick(our_ms)
        clock = self.clock
        clock.advance(our_ms)
        self.price.drop_stale(clock.our_ms)
        clock.estimate()
        if self.intake.is_behind:
            self._reassess(our_ms)
        self.feeds.outages.place_recalled()
        self.price.measure()
        released = self.intake.release(our_ms)
        if released:
            self._fan_out(released, is_news=True)
        self._release_sized(our_ms)
        now, at = clock.now_ms, clock.now_at
        self.engine.tick(now, at)
        self.comovement.tick(self.engine, now)
        for instrument in (*self._levels.raised(), MARKET):
            self._check_level(instrument, now, at)
        self.cascades.book.tick(now)
        self._tell_cascades()
        shown = self.active
        self.active = {instrument for instrument in shown if not self.engine.is_empty(instrument, now, at)}
        return shown

    def finish(self, our_ms: int) -> None:
        """Take in all that still waits for clocks or sizes."""
        self.clock.advance(our_ms)
        self.clock.start()
        while self.intake.is_behind:
            self._reassess(our_ms)
        self._release_sized(our_ms, is_last=True)
        self.cascades.book.finish()
        self._tell_cascades()

    def alive_ms(self, our_ms: int) -> int:
        """Return the common time up to which every event reached the listeners: some may wait."""
        since_ms = self.intake.waiting_since_ms()
        return self.clock.t_ms(our_ms if since_ms is None else since_ms)

    # What follows.

    def _fan_out(self, accepted: Sequence[Liquidation], *, is_news: bool) -> None:
        for hear in self.listeners.on_accepted:
            hear(accepted, is_news=is_news)
        instruments: dict[str, None] = {}  # in their order: which one is the third to be CRITICAL shows
        for liquidation in accepted:
            instruments[liquidation.instrument] = None
            if liquidation.quantity is None:
                self._tell_unsized(liquidation.venue, liquidation.symbol)
        self.active.update(instruments)  # `|=` with keys makes a new set
        engine, now, at = self.engine, self.clock.now_ms, self.clock.now_at
        if not is_news:
            engine.pass_over(instruments, now, at)
            return
        if len(accepted) == 1:
            engine.look([(accepted[0].venue, accepted[0].instrument)], now, at)
        else:
            engine.look({(event.venue, event.instrument): None for event in accepted}, now, at)
        # By return period a look tells what changed; by the other rules each instrument is asked.
        for instrument in instruments if engine.levels is None else engine.take_changed():
            self._check_level(instrument, now, at)
        self._tell_cascades()

    def _tell_cascades(self) -> None:
        for cascade in self.cascades.take_news():
            for listener in self.listeners:
                listener.cascade(cascade)

    def _check_level(self, instrument: str, now_ms: int, at: Mapping[str, int]) -> None:
        alert = self._levels.check(instrument, now_ms, at)
        if alert is not None:
            for hear in self.listeners.on_alert:
                hear(alert)

    def _reassess(self, our_ms: int) -> None:
        """A clock has become known, or stepped: move what was placed by it, and take in what waited for it."""
        if self.clock.has_begun:
            self.feeds.outages.begun()
        for step in self.clock.steps:
            if not step.venue and (step.by_ms < 0 or not step.has_jumped):
                self._levels.move(step.by_ms)
                self.feeds.outages.moved(0 if step.has_jumped else step.by_ms, step.by_venue)
            if not step.venue:
                self.comovement = Comovement(self.comovement.limit)  # its seconds cannot be moved
        reassessed = self.intake.reassess(our_ms)
        self.feeds.outages.reassess()
        self.active |= reassessed.moved
        for events, is_news in ((reassessed.repeated, False), (reassessed.news, True)):
            if events:
                self._fan_out(events, is_news=is_news)
        self._know_again(reassessed.recalled)

    def _know_again(self, recalled: Sequence[Liquidation]) -> None:
        """Let the levels know what an earlier run saw, which is no news."""
        instruments = {event.instrument for event in recalled}
        self.active |= instruments
        now, at = self.clock.now_ms, self.clock.now_at
        self.engine.pass_over(instruments, now, at)
        for instrument in sorted(instruments):
            self._levels.check(instrument, now, at)

    def _release_sized(self, our_ms: int, *, is_last: bool = False) -> None:
        """Take in the events that waited for the size of their contract, and ask for the list for those that wait."""
        news, repeated = self.intake.release_sized(our_ms, is_last=is_last)
        for venue, symbol in self.intake.sizeless():
            self._tell_unsized(venue, symbol)
        for events, is_news in ((repeated, False), (news, True)):
            if events:
                self._fan_out(events, is_news=is_news)

    def _separated(self, separation: Separation) -> None:
        """A multiplier contract was found to be another asset than its name says: told once, and kept."""
        self.engine.lists_instrument(separation.venue, separation.raw)
        for listener in self.listeners:
            listener.separated(separation)

    def _forgotten(self, instruments: Collection[str]) -> None:
        """Instruments that no list names made way for others of that kind."""
        self.engine.forget(instruments)
        for listener in self.listeners:
            listener.forgotten(instruments)

    def _tell_unsized(self, venue: str, symbol: str) -> None:
        for listener in self.listeners:
            listener.unsized(venue, symbol)


def _parse_symbol(venue: str, symbol: str) -> Contract:
    """Return what a symbol's name says of its contract; of a venue not ours it is an instrument of its own."""
    return VENUES[venue].parse_symbol(symbol) if venue in VENUES else Contract(venue, symbol, symbol, unit_value="1")


def _received_ms(events: Iterable[Event]) -> int | None:
    """Return when a frame that begins with something else was received; no clock may say so, or a replay differs."""
    stamped = (event.receive_ms for event in events if isinstance(event, (RawLiquidation, PriceTick)))
    return next(stamped, None)
