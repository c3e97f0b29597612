"""From decoded events to accepted liquidations: filter, identity, size, the future rule; every step in the ledger."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from heapq import heappop, heappush

from liqtape.engine.eventtime import EventClock
from liqtape.engine.velocity import VelocityEngine
from liqtape.events import Event, Invalid, Liquidation, PriceTick, RawLiquidation
from liqtape.identity import Identities, identity
from liqtape.instruments import Instruments
from liqtape.ledger import Ledger

__all__ = ["AHEAD_MS", "HELD_LIMIT", "HELD_MS", "SIZE_WAIT_MS", "Intake"]

AHEAD_MS = 2_000
"""An event further ahead of the evaluation time waits until time reaches it."""

HELD_MS = 60_000
HELD_LIMIT = 10_000

SIZE_WAIT_MS = 10_000
"""From a venue's first event of unknown contract size: so long such events wait for its list of instruments."""


class _Door:
    """What is asked of a venue's events: `wanted` (empty: all) and which were seen before."""

    __slots__ = ("identities", "wanted")

    def __init__(self, wanted: frozenset[str]) -> None:
        self.wanted = wanted
        self.identities = Identities()


class Intake:
    """What `Tracker.ingest` is made of: plain calls, no clock (`wall_ms` is an argument), no I/O.

    `wanted` names instruments or symbols in either spelling, empty means all; `wanted_of` replaces it for the venues
    named there. An event is in exactly one place of the ledger it came with: accepted, duplicate, rejected or pending.
    With `is_starting` the venues' lists of instruments are still on their way: events without a size wait for them.
    """

    def __init__(
        self,
        engine: VelocityEngine,
        instruments: Instruments,
        wanted: Collection[str] = (),
        wanted_of: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        self.engine = engine
        self.instruments = instruments
        self.clock = EventClock()
        self.ticks: list[PriceTick] = []
        self.future_total = 0
        self.is_starting = False
        self._wanted = frozenset(wanted)
        self._wanted_of = {venue: frozenset(names) for venue, names in (wanted_of or {}).items()}
        self._doors: dict[str, _Door] = {}
        self._held: list[tuple[int, int, int, Liquidation, Ledger]] = []
        self._held_count = 0
        self._sizeless: list[tuple[int, RawLiquidation, Ledger]] = []
        self._sizes_until: dict[str, int] = {}  # by venue

    def take(self, events: Sequence[Event], ledger: Ledger, wall_ms: int) -> list[Liquidation]:  # noqa: C901, PLR0915
        """The liquidations, of one frame or of several, that are accepted now, added to the engine.

        Trades among them go to `ticks`, for the caller to take. One loop over all steps, on purpose: a call for each of
        them, for each event, cost 1.4 us of 4.7.
        """
        accepted: list[Liquidation] = []
        clock, sized, add = self.clock, self.instruments.sized, self.engine.add
        latest_ms, others, venue = clock.latest_ms, 0, ""
        for event in events:
            if type(event) is not RawLiquidation:
                others += self._note(event, ledger)
                continue
            if event.venue != venue:
                venue = event.venue
                door = self._door(venue)
                wanted, is_new = door.wanted, door.identities.is_new
            if wanted and not self._is_among(wanted, event):
                ledger.events_rejected_filtered += 1
                continue
            event_ms, key = event.event_ms, identity(event)
            if not is_new(key, event_ms):
                ledger.events_duplicate += 1
                continue
            try:
                liquidation = sized(event, key)
            except (
                ArithmeticError,
                ValueError,
            ):  # no venue's decoder lets it through, but events come from others, too
                ledger.events_rejected_invalid += 1
                continue
            if event_ms > latest_ms:
                # The evaluation time never goes back: what is not ahead of the last one needs no other.
                if event_ms > latest_ms + AHEAD_MS and event_ms > clock.plausible_ms(wall_ms) + AHEAD_MS:
                    self._hold(liquidation, ledger, wall_ms)
                    latest_ms = clock.latest_ms
                    continue
                clock.latest_ms = latest_ms = event_ms
            if liquidation.notional_usd is None:
                if self.is_starting and self._waits_for_size(event, liquidation, ledger, wall_ms):
                    continue
                ledger.count_unsized(liquidation.quantity)
            add(liquidation)
            accepted.append(liquidation)
        ledger.events_decoded += len(events) - others
        ledger.events_accepted += len(accepted)
        if events:
            first = events[0]
            if (isinstance(first, RawLiquidation) and not first.replayed) or isinstance(first, PriceTick):
                clock.observe(first.venue, first.event_ms, wall_ms)
        return accepted

    def _note(self, event: Event, ledger: Ledger) -> bool:
        """What is no liquidation; whether it is no event of the ledger either."""
        if isinstance(event, Invalid):
            ledger.events_rejected_invalid += 1
            return False
        if isinstance(event, PriceTick):
            self.ticks.append(event)
        return True

    def _door(self, venue: str) -> _Door:
        door = self._doors.get(venue)
        if door is None:
            door = self._doors[venue] = _Door(self._wanted_of.get(venue, self._wanted))
        return door

    def admit(self, liquidation: Liquidation, ledger: Ledger, wall_ms: int) -> bool:
        """Add a liquidation that `ledger` already counts as decoded; False while it is held, or rejected."""
        event_ms, clock = liquidation.event_ms, self.clock
        # The evaluation time never goes back: what is not ahead of the last one needs no other.
        if event_ms > clock.latest_ms + AHEAD_MS and event_ms > clock.plausible_ms(wall_ms) + AHEAD_MS:
            self._hold(liquidation, ledger, wall_ms)
            return False
        self._accept(liquidation, ledger)
        return True

    def _is_among(self, wanted: frozenset[str], raw: RawLiquidation) -> bool:
        return raw.symbol in wanted or self.instruments.contract(raw.venue, raw.symbol).instrument in wanted

    def _accept(self, liquidation: Liquidation, ledger: Ledger) -> None:
        ledger.events_accepted += 1
        if liquidation.notional_usd is None:
            ledger.count_unsized(liquidation.quantity)
        self.clock.reached(liquidation.event_ms)
        self.engine.add(liquidation)

    def _hold(self, liquidation: Liquidation, ledger: Ledger, wall_ms: int) -> None:
        self.future_total += 1
        if len(self._held) >= HELD_LIMIT:
            ledger.events_rejected_future += 1
            return
        ledger.events_pending += 1
        self._held_count += 1  # breaks ties, so that the heap never compares events
        heappush(self._held, (liquidation.event_ms, self._held_count, wall_ms, liquidation, ledger))

    def _waits_for_size(self, event: RawLiquidation, sized: Liquidation, ledger: Ledger, wall_ms: int) -> bool:
        if self._is_in_no_dollar(sized):
            return False
        until_ms = self._sizes_until.setdefault(event.venue, wall_ms + SIZE_WAIT_MS)
        if wall_ms >= until_ms or len(self._sizeless) >= HELD_LIMIT:
            return False
        ledger.events_pending += 1
        self._sizeless.append((wall_ms, event, ledger))
        return True

    def _is_in_no_dollar(self, sized: Liquidation) -> bool:
        """Whether the venue's list is there and says so: nothing is to be waited for."""
        return sized.quantity is not None and self.instruments.is_listed(sized.venue, sized.symbol)

    def release_sized(self, wall_ms: int, *, is_last: bool = False) -> tuple[list[Liquidation], list[Liquidation]]:
        """Accepts the events whose size has become known, and the others when they have waited enough or `is_last`.

        Apart: those that are news, and those that a venue repeated at subscribe. Call on a timer.
        """
        news: list[Liquidation] = []
        repeated: list[Liquidation] = []
        waiting, self._sizeless = self._sizeless, []
        for since_ms, event, ledger in waiting:
            try:
                liquidation = self.instruments.sized(event, identity(event))
            except (ArithmeticError, ValueError):
                ledger.events_pending -= 1
                ledger.events_rejected_invalid += 1
                continue
            is_waiting = liquidation.notional_usd is None and not self._is_in_no_dollar(liquidation)
            if is_waiting and not is_last and wall_ms < self._sizes_until[event.venue]:
                self._sizeless.append((since_ms, event, ledger))
                continue
            ledger.events_pending -= 1
            self._accept(liquidation, ledger)
            (repeated if event.replayed else news).append(liquidation)
        return news, repeated

    def sizeless(self) -> set[tuple[str, str]]:
        """(venue, symbol) of the events that wait for a size."""
        return {(event.venue, event.symbol) for _, event, _ in self._sizeless}

    def waiting_since_ms(self) -> int | None:
        """When the oldest event that waits was received: it is in no log yet."""
        held = [since_ms for _, _, since_ms, _, _ in self._held]
        return min([*held, *(since_ms for since_ms, _, _ in self._sizeless)], default=None)

    def waiting_from_ms(self) -> dict[str, int]:
        """The oldest event time of what waits, by venue."""
        oldest: dict[str, int] = {}
        held = [(event.venue, event.event_ms) for _, _, _, event, _ in self._held]
        for venue, event_ms in [*held, *((event.venue, event.event_ms) for _, event, _ in self._sizeless)]:
            oldest[venue] = min(event_ms, oldest.get(venue, event_ms))
        return oldest

    def release(self, wall_ms: int) -> list[Liquidation]:
        """Held events whose time has come, now accepted; those that waited too long are rejected. Call on a timer."""
        now_ms = self.clock.now_ms(wall_ms)
        released: list[Liquidation] = []
        while self._held and self._held[0][0] <= now_ms:
            _, _, _, liquidation, ledger = heappop(self._held)
            ledger.events_pending -= 1
            self._accept(liquidation, ledger)
            released.append(liquidation)
        if any(wall_ms - since >= HELD_MS for _, _, since, _, _ in self._held):
            self._expire(wall_ms)
        return released

    def _expire(self, wall_ms: int) -> None:
        kept = []
        for entry in self._held:
            _, _, since, _, ledger = entry
            if wall_ms - since < HELD_MS:
                kept.append(entry)
                continue
            ledger.events_pending -= 1
            ledger.events_rejected_future += 1
        self._held = sorted(kept, key=lambda entry: entry[:2])

    def recall(self, liquidations: Iterable[Liquidation], since_ms: int) -> None:
        """Take back what an earlier run accepted, oldest first: known as repeats, and in the windows from `since_ms`.

        They are in no ledger, which counts what this run received.
        """
        for liquidation in liquidations:
            if liquidation.id:
                self._door(liquidation.venue).identities.is_new(liquidation.id, liquidation.event_ms)
            self.instruments.recall(liquidation)
            if liquidation.event_ms > since_ms:
                self.clock.reached(liquidation.event_ms)
                self.engine.add(liquidation)

    def forgotten_total(self) -> int:
        """Identities forgotten because their store was full: repeats of those would count again."""
        return sum(door.identities.forgotten_total for door in self._doors.values())
