"""From decoded events to accepted liquidations: filter, identity, size, the future rule; every step in the ledger."""

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from heapq import heappop, heappush
from statistics import median
from urllib.parse import unquote

from msgspec import Struct
from msgspec.structs import replace

from liqtape.engine.velocity import VelocityEngine
from liqtape.events import Event, Invalid, Liquidation, PriceTick, RawLiquidation
from liqtape.identity import Identities, identity
from liqtape.instruments import Instruments
from liqtape.ledger import Ledger
from liqtape.pipeline.clock import AHEAD_MS, LATE_MS, ClockStep, EventClock
from liqtape.pipeline.receipts import Receipts

__all__ = ["AHEAD_MS", "HELD_LIMIT", "HELD_MS", "SIZE_WAIT_MS", "Intake", "Reassessed"]

HELD_MS = 60_000
HELD_LIMIT = 10_000

SIZE_WAIT_MS = 10_000
"""From a venue's first event of unknown contract size: so long such events wait for its list of instruments."""

_EARLY_MS = 800
_DOUBTED_MS = 20_000  # so long, which is longer than a clock takes to be known
_SHIFTED_MS = 310_000  # what stands in windows elsewhere than its stamp says
_DOUBTED_LIMIT = 20_000  # 75 ms of the loop when a clock steps
_JUDGED_AT_ONCE = 2_500  # of what waited for the clocks: 25 ms of the loop
_SORTED = 1_000  # where more are placed at once, the oldest first: a late one costs as much as there are newer ones


class Reassessed(Struct, frozen=True):
    """What waited for a clock and is accepted now; apart what a venue had repeated, and what an earlier run saw.

    `moved` are the instruments of which something stands elsewhere now, in a window perhaps that had none of it.
    """

    news: list[Liquidation]
    repeated: list[Liquidation]
    recalled: list[Liquidation]
    moved: frozenset[str] = frozenset()


class _Early(Struct, frozen=True):
    """An event that came before the clocks were known."""

    since_ms: int
    liquidation: Liquidation
    ledger: Ledger
    raw: RawLiquidation | None = None


class _Doubted(Struct, frozen=True):
    """An event that may stand in windows where a wrong clock put it."""

    since_ms: int  # our time of its receipt
    window_ms: int
    liquidation: Liquidation
    moved_ms: int = 0  # our time when a step of its venue's clock moved it


class _Recalled(Struct):
    """What an earlier run accepted of a venue whose clock is not known yet; `window_ms` is None while in no window."""

    liquidation: Liquidation
    window_ms: int | None


class _VenueFilter:
    """What is asked of a venue's events: `target` (empty: all) and which were seen before."""

    __slots__ = ("identities", "target")

    def __init__(self, target: frozenset[str]) -> None:
        self.target = target
        self.identities = Identities()


class Intake:
    """What `Tracker.ingest` is made of: plain calls, no clock (`our_ms` is an argument), no I/O.

    ::

        take, admit ──▶ known? target? sized? ──▶ clocks known? ──no──▶ _early ──── when they are ────┐
                                                      │ yes                                           │
                                                      ▼                                               ▼
                                          > t_v + 2 s after the shift? ──yes──▶ _held ── reached, or judged anew
                                                      │ no                         └──── after 60 s: rejected
                                                      ▼
                                            engine, at stamp - shift  ◀── taken out and placed anew when the shift
                                                                          was not known yet (`_doubted`)

    `target` names instruments or symbols in either spelling, empty means all; `target_of` replaces it for the venues
    named there. An event is in exactly one place of the ledger it came with: accepted, duplicate, rejected or pending.
    With `is_starting` the venues' lists of instruments are still on their way: events without a size wait for them.
    """

    def __init__(
        self,
        engine: VelocityEngine,
        instruments: Instruments,
        target: Collection[str] = (),
        target_of: Mapping[str, Collection[str]] | None = None,
        max_publish_delay_ms: Mapping[str, int] | None = None,
    ) -> None:
        self.engine = engine
        self.instruments = instruments
        self.clock = EventClock(max_publish_delay_ms)
        self.future_total = 0
        self.is_starting = False
        self._target = frozenset(target)
        self._target_of = {venue: frozenset(names) for venue, names in (target_of or {}).items()}
        self._filters: dict[str, _VenueFilter] = {}
        self._held: dict[str, list[tuple[int, int, int, Liquidation, Ledger]]] = {}  # by venue, heaps by raw stamp
        self._held_count = self._held_total = 0
        self._early: list[_Early] = []
        self._recalled_ms = self._recalled_since_ms = 0
        self._recalled: list[_Recalled] = []
        self._receipts = Receipts(self.clock)
        self._settled_ms: dict[str, int] = {}  # by venue: when what is recalled of it stays where it is
        self._doubted: deque[_Doubted] = deque(maxlen=_DOUBTED_LIMIT)
        self._sizeless: list[tuple[int, RawLiquidation, Ledger]] = []
        self._sizes_until: dict[str, int] = {}  # by venue

    def begin(self) -> None:
        """A run begins: events wait for the clocks of the venues, and for their lists of instruments."""
        self.is_starting = True
        self.clock.wait()

    def restart(self) -> None:
        """Another run goes on where one ended that could not take in all it had."""
        self.clock.restart()
        self._early.clear()
        self._recalled.clear()
        self._receipts = Receipts(self.clock)
        self._settled_ms.clear()

    def take(  # noqa: C901, PLR0912, PLR0915
        self, events: Sequence[Event], ledger: Ledger, our_ms: int
    ) -> tuple[list[Liquidation], list[PriceTick]]:
        """Return the liquidations, of one frame or of several, that are accepted now and in the engine, and the trades.

        One loop over all steps, on purpose: a call for each of them, for each event, cost 1.4 us of 4.7.
        """
        accepted: list[Liquidation] = []
        ticks: list[PriceTick] = []
        clock, sized, add = self.clock, self.instruments.sized, self.engine.add
        clock.advance(our_ms)
        self.instruments.limit_new()
        is_started, is_unknown, others, venue = clock.is_started, False, 0, ""
        early_ms = clock.now_ms + _EARLY_MS
        for event in events:
            if type(event) is not RawLiquidation:
                others += _note(event, ledger, ticks)
                continue
            if event.venue != venue:
                venue = event.venue
                door = self._filter(venue)
                target, is_new = door.target, door.identities.is_new
                shift_ms, at_ms, max_publish_delay_ms = clock.reach_of(venue)
                late_ms = early_ms - _EARLY_MS - max_publish_delay_ms - LATE_MS
                # What is told as past may lie by a fast clock just where the present is.
                is_unknown = clock.is_unknown(venue)
            if target and not self._is_among(target, event):
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
            if not is_started:
                if self._waits(_Early(our_ms, liquidation, ledger, event)):
                    continue
                is_started = True
                shift_ms, at_ms, max_publish_delay_ms = clock.reach_of(venue)
            event_ms -= shift_ms  # where it stands in windows
            if event_ms > at_ms:
                if event_ms > at_ms + AHEAD_MS:
                    self._hold(liquidation, ledger, our_ms)
                    continue
                clock.reached(venue, event_ms)
                at_ms = clock.now_at[venue]
                if event_ms > early_ms or shift_ms or (is_unknown and event.replayed):
                    self._doubted.append(_Doubted(our_ms, event_ms, liquidation))
            elif event_ms < late_ms or shift_ms or (is_unknown and event.replayed):
                self._doubted.append(_Doubted(our_ms, event_ms, liquidation))
            if liquidation.notional_usd is None:
                if self.is_starting and self._waits_for_size(event, liquidation, ledger, our_ms):
                    continue
                ledger.count_unsized(liquidation.quantity)
            if shift_ms:
                add(liquidation, event_ms)
            else:
                add(liquidation)
            accepted.append(liquidation)
        ledger.events_decoded += len(events) - others
        ledger.events_accepted += len(accepted)
        if ticks:
            clock.observe(ticks[0].venue, [tick.event_ms for tick in ticks if tick.venue == ticks[0].venue], our_ms)
        return accepted, ticks

    def _filter(self, venue: str) -> _VenueFilter:
        door = self._filters.get(venue)
        if door is None:
            door = self._filters[venue] = _VenueFilter(self._target_of.get(venue, self._target))
        return door

    def admit(self, liquidation: Liquidation, ledger: Ledger, our_ms: int) -> bool:
        """Add a liquidation that `ledger` already counts as decoded; False while it waits, or where it is rejected."""
        self.instruments.limit_new()
        self.clock.advance(our_ms)
        if not self.clock.is_started and self._waits(_Early(our_ms, liquidation, ledger)):
            return False
        return self._assess(liquidation, ledger, our_ms)

    def _assess(self, liquidation: Liquidation, ledger: Ledger, our_ms: int) -> bool:
        """Accept it, or hold it where it is too far ahead."""
        shift_ms, at_ms, _ = self.clock.reach_of(liquidation.venue)
        if liquidation.event_ms - shift_ms > at_ms + AHEAD_MS:
            self._hold(liquidation, ledger, our_ms)
            return False
        return self._accept(liquidation, ledger)

    def _waits(self, early: _Early) -> bool:
        """Keep it until the clocks are known; where too many wait, what is known has to do."""
        self.clock.begin(early.since_ms)
        if len(self._early) >= HELD_LIMIT:
            self.clock.start()
        if self.clock.is_started:
            return False
        early.ledger.events_pending += 1
        self._early.append(early)
        return True

    def _is_among(self, target: frozenset[str], raw: RawLiquidation) -> bool:
        return raw.symbol in target or self.instruments.contract(raw.venue, raw.symbol).instrument in target

    def _accept(self, liquidation: Liquidation, ledger: Ledger) -> bool:
        """Take in an event that waited; False where its symbol made way for others, too many to know them all again."""
        if not self.instruments.keep(liquidation.venue, liquidation.symbol):
            ledger.events_rejected_invalid += 1
            return False
        ledger.events_accepted += 1
        if liquidation.notional_usd is None:
            ledger.count_unsized(liquidation.quantity)
        self._place(liquidation)
        return True

    def _place(self, liquidation: Liquidation) -> None:
        """Put it into windows, where the clock of its venue says."""
        shift_ms, _, max_publish_delay_ms = self.clock.reach_of(liquidation.venue)
        window_ms = liquidation.event_ms - shift_ms
        ahead_ms = window_ms - self.clock.now_ms
        is_doubtful = bool(shift_ms) or not -max_publish_delay_ms - LATE_MS <= ahead_ms <= _EARLY_MS
        if is_doubtful or self.clock.is_unknown(liquidation.venue):
            self._doubted.append(_Doubted(self.clock.our_ms, window_ms, liquidation))
        self.clock.reached(liquidation.venue, window_ms)
        if shift_ms:
            self.engine.add(liquidation, window_ms)
        else:
            self.engine.add(liquidation)

    def _hold(self, liquidation: Liquidation, ledger: Ledger, our_ms: int) -> None:
        self.future_total += 1
        if self._held_total >= HELD_LIMIT:
            ledger.events_rejected_future += 1
            return
        ledger.events_pending += 1
        self._held_total += 1
        self._held_count += 1  # breaks ties, so that the heap never compares events
        held = self._held.setdefault(liquidation.venue, [])
        heappush(held, (liquidation.event_ms, self._held_count, our_ms, liquidation, ledger))

    def _waits_for_size(self, event: RawLiquidation, sized: Liquidation, ledger: Ledger, our_ms: int) -> bool:
        if self._is_in_no_dollar(sized):
            return False
        until_ms = self._sizes_until.setdefault(event.venue, our_ms + SIZE_WAIT_MS)
        if our_ms >= until_ms or len(self._sizeless) >= HELD_LIMIT:
            return False
        ledger.events_pending += 1
        self._sizeless.append((our_ms, event, ledger))
        return True

    def _is_in_no_dollar(self, sized: Liquidation) -> bool:
        """Whether the venue's list is there and says so: nothing is to be waited for."""
        return sized.quantity is not None and self.instruments.is_listed(sized.venue, sized.symbol)

    def release_sized(self, our_ms: int, *, is_last: bool = False) -> tuple[list[Liquidation], list[Liquidation]]:
        """Accepts the events whose size has become known, and the others when they have waited enough or `is_last`.

        Apart: those that are news, and those that a venue repeated at subscribe. Call on a timer.
        """
        self.instruments.limit_new()
        news: list[Liquidation] = []
        repeated: list[Liquidation] = []
        waiting, self._sizeless = self._sizeless, []
        if len(waiting) > _SORTED:
            waiting.sort(key=lambda one: one[1].event_ms)
        for since_ms, event, ledger in waiting:
            try:
                liquidation = self.instruments.sized(event, identity(event))
            except (ArithmeticError, ValueError):
                ledger.events_pending -= 1
                ledger.events_rejected_invalid += 1
                continue
            is_waiting = liquidation.notional_usd is None and not self._is_in_no_dollar(liquidation)
            if is_waiting and not is_last and our_ms < self._sizes_until[event.venue]:
                self._sizeless.append((since_ms, event, ledger))
                continue
            ledger.events_pending -= 1
            if self._accept(liquidation, ledger):
                (repeated if event.replayed else news).append(liquidation)
        return news, repeated

    def sizeless(self) -> set[tuple[str, str]]:
        """(venue, symbol) of the events that wait for a size."""
        return {(event.venue, event.symbol) for _, event, _ in self._sizeless}

    def waiting_since_ms(self) -> int | None:
        """When the oldest event that waits was received: it is in no log yet."""
        held = [since_ms for held in self._held.values() for _, _, since_ms, _, _ in held]
        early = [early.since_ms for early in self._early]
        return min([*held, *early, *(since_ms for since_ms, _, _ in self._sizeless)], default=None)

    def waiting_from_ms(self) -> dict[str, int]:
        """The oldest event time of what waits, by venue."""
        oldest: dict[str, int] = {}
        held = [(event.venue, event.event_ms) for held in self._held.values() for _, _, _, event, _ in held]
        early = [(e.liquidation.venue, e.liquidation.event_ms) for e in self._early]
        for venue, event_ms in [*held, *early, *((event.venue, event.event_ms) for _, event, _ in self._sizeless)]:
            oldest[venue] = min(event_ms, oldest.get(venue, event_ms))
        return oldest

    def release(self, our_ms: int) -> list[Liquidation]:
        """Held events whose time has come, now accepted; those that waited too long are rejected. Call on a timer."""
        self.clock.advance(our_ms)
        self.instruments.limit_new()
        released = self._released(0)
        self._expire(our_ms)
        while self._doubted and our_ms - self._doubted[0].since_ms > _SHIFTED_MS:
            self._doubted.popleft()
        self._settle_recalled(our_ms)
        return released

    def _released(self, ahead_ms: int) -> list[Liquidation]:
        released: list[Liquidation] = []
        for venue, held in self._held.items():
            while held:
                shift_ms, at_ms, _ = self.clock.reach_of(venue)
                if held[0][0] - shift_ms > at_ms + ahead_ms:
                    break
                _, _, _, liquidation, ledger = heappop(held)
                self._held_total -= 1
                ledger.events_pending -= 1
                if self._accept(liquidation, ledger):
                    released.append(liquidation)
        return released

    def _expire(self, our_ms: int) -> None:
        for venue, held in self._held.items():
            if not any(our_ms - since >= HELD_MS for _, _, since, _, _ in held):
                continue
            kept = []
            for entry in held:
                _, _, since, _, ledger = entry
                if our_ms - since < HELD_MS:
                    kept.append(entry)
                    continue
                self._held_total -= 1
                ledger.events_pending -= 1
                ledger.events_rejected_future += 1
            self._held[venue] = sorted(kept, key=lambda entry: entry[:2])

    @property
    def is_behind(self) -> bool:
        """Whether a clock became known, or stepped, and `reassess` is due, or not done with all that waited."""
        return bool(self.clock.steps) or self.clock.has_begun or bool(self._early and self.clock.is_started)

    def reassess(self, our_ms: int) -> Reassessed:
        """Follow the clocks: place what is in windows where it belongs, and judge what waits, a part at each call."""
        self.instruments.limit_new()
        self.clock.advance(our_ms)
        if self.clock.has_begun:
            self.clock.has_begun = False
            return self._begun(our_ms)
        if self._early and not self.clock.steps:
            return self._judged(our_ms)
        is_rewound = False
        moved: set[str] = set()
        while self.clock.steps:
            step = self.clock.steps.pop(0)
            if step.venue:
                moved |= self._replace(step)
                continue
            if not step.has_jumped or step.by_ms < 0:
                self._move(step)
            if step.by_ms < 0:
                self.engine.rewind(self.clock.now_ms)
                is_rewound = True
        if is_rewound:  # what came in the meantime was too old for any window
            placed = [(one.liquidation, one.window_ms) for one in self._doubted]
            placed += [(one.liquidation, one.window_ms) for one in self._recalled if one.window_ms is not None]
            self.engine.place_anew([(event, window_ms, window_ms) for event, window_ms in placed])
            moved.update(event.instrument for event, _ in placed)
        return Reassessed(self._released(AHEAD_MS), [], self._placed_again(), frozenset(moved))

    def _move(self, step: ClockStep) -> None:
        """The common time has stepped: let all that stands in windows follow."""
        by_venue = step.by_venue
        self.engine.move(step.by_ms, by_venue)
        moved = (
            replace(one, window_ms=one.window_ms + by_venue.get(one.liquidation.venue, 0)) for one in self._doubted
        )
        self._doubted = deque(moved, maxlen=_DOUBTED_LIMIT)
        for one in self._recalled:
            if one.window_ms is not None:
                one.window_ms += by_venue.get(one.liquidation.venue, 0)

    def _replace(self, step: ClockStep) -> set[str]:
        """Move what came since a venue's clock stepped from where the old one put it; return its instruments."""
        moved: set[str] = set()
        moves: list[tuple[Liquidation, int, int]] = []
        shift_ms = self.clock.shift_ms(step.venue)
        doubted, self._doubted = self._doubted, deque(maxlen=_DOUBTED_LIMIT)
        for one in doubted:
            event = one.liquidation
            is_young = self.clock.our_ms - one.since_ms <= _DOUBTED_MS
            own_ms = event.event_ms - self.clock.t_ms(one.since_ms)
            right_ms = event.event_ms - shift_ms
            is_new = abs(own_ms - shift_ms) < abs(own_ms - shift_ms + step.by_ms)
            is_new |= 0 < step.since_ms <= max(one.since_ms, one.moved_ms)  # the old one was none
            is_theirs = event.venue == step.venue and (is_young or one.window_ms != event.event_ms)
            is_new &= own_ms - shift_ms <= AHEAD_MS  # it happened before it came, so it is a past by the old clock
            if is_theirs and is_new and right_ms != one.window_ms:
                moves.append((event, one.window_ms, right_ms))
                self.clock.reached(event.venue, right_ms)
                self._doubted.append(_Doubted(one.since_ms, right_ms, event, self.clock.our_ms))
                moved.add(event.instrument)
            else:
                self._doubted.append(one)
        self.engine.place_anew(moves)
        return moved

    def _placed_again(self) -> list[Liquidation]:
        """Place what an earlier run accepted of the venues whose clocks have become known; what stands elsewhere now.

        As when it was received: at its stamp, or less the shift, if that is what it was off by then. What the shift is
        may be told by a common time that began by a wrong clock: so it is placed again until that has lasted.
        """
        if not self._recalled:
            return []
        placed: list[Liquidation] = []
        waiting = self._recalled
        self._receipts.learn(one.liquidation for one in waiting)
        always_off = self._always_off(waiting)
        for one in waiting:
            event = one.liquidation
            shift_ms, at_ms, _ = self.clock.reach_of(event.venue)
            since_ms = self._receipts.of(event)
            if since_ms is not None:
                own_ms = event.event_ms - self.clock.t_ms(since_ms)
                is_shifted = abs(own_ms - shift_ms) < abs(own_ms) or event.venue in always_off
                is_shifted &= own_ms - shift_ms <= AHEAD_MS
                shift_ms = shift_ms if is_shifted else 0
            right_ms = event.event_ms - shift_ms
            is_in_time = self.clock.now_ms - self._recalled_since_ms < right_ms <= at_ms + AHEAD_MS
            if right_ms != one.window_ms:
                if one.window_ms is not None:
                    self.engine.take_out(event, one.window_ms)
                one.window_ms = right_ms if is_in_time else None
                if is_in_time:
                    self.clock.reached(event.venue, right_ms)
                    self.engine.add(event, right_ms)
                    placed.append(event)
        return placed

    def _settle_recalled(self, our_ms: int) -> None:
        """Let what an earlier run accepted be as what this one did, where it has stood long enough, or in no window."""
        if not self._recalled:
            return
        # A clock that becomes known and is right makes nothing new; those that are settled say when the others were.
        self._receipts.learn(one.liquidation for one in self._recalled)
        is_over = our_ms - self._recalled_ms > _SHIFTED_MS  # no window holds any of it
        for venue in self.clock.skews:
            self._settled_ms.setdefault(venue, our_ms + _DOUBTED_MS)
        waiting, self._recalled = self._recalled, []
        for one in waiting:
            event = one.liquidation
            settled_ms = self._settled_ms.get(event.venue)
            is_ahead = one.window_ms is None and event.event_ms > self.clock.now_ms  # of a time that may be wrong
            if not is_over and (settled_ms is None or our_ms < settled_ms or is_ahead):
                self._recalled.append(one)
            elif one.window_ms is not None and one.window_ms != event.event_ms:
                since_ms = self._receipts.of(event) or our_ms
                self._doubted.append(_Doubted(since_ms, one.window_ms, event, our_ms))

    def _always_off(self, recalled: Iterable[_Recalled]) -> set[str]:
        """Return the venues whose clock is off of which the earlier run had nothing by a clock that is right.

        Then also what they told long after the fact, of which receipt and stamp say nothing, was by the clock that is
        known now.
        """
        off: set[str] = set()
        right: set[str] = set()
        for one in recalled:
            event = one.liquidation
            shift_ms = self.clock.shift_ms(event.venue)
            if not shift_ms or (receipt_ms := self._receipts.of(event)) is None:
                continue
            off.add(event.venue)
            own_ms = event.event_ms - self.clock.t_ms(receipt_ms)
            is_by_that = own_ms > AHEAD_MS or abs(own_ms - shift_ms) < abs(own_ms)  # nobody tells of what is to come
            if not is_by_that and own_ms > -AHEAD_MS - LATE_MS:
                right.add(event.venue)
        return off - right

    def _begun(self, our_ms: int) -> Reassessed:
        """The clocks are known: judge what came before."""
        self.engine.rewind(self.clock.now_ms + AHEAD_MS)
        recalled = self._placed_again()
        if len(self._early) > _SORTED:
            self._early.sort(key=lambda one: one.liquidation.event_ms)
        return replace(self._judged(our_ms), recalled=recalled)

    def _judged(self, our_ms: int) -> Reassessed:
        """Judge as much of what waited for the clocks as the loop has time for."""
        reassessed = Reassessed([], [], [])
        early, self._early = self._early[:_JUDGED_AT_ONCE], self._early[_JUDGED_AT_ONCE:]
        for one in early:
            event, ledger = one.liquidation, one.ledger
            ledger.events_pending -= 1
            if event.notional_usd is None and one.raw is not None and self.is_starting:  # noqa: SIM102 - it takes it
                if self._waits_for_size(one.raw, event, ledger, our_ms):
                    continue
            if self._assess(event, ledger, our_ms):
                is_repeated = one.raw is not None and one.raw.replayed
                (reassessed.repeated if is_repeated else reassessed.news).append(event)
        return reassessed

    def recall(self, liquidations: Iterable[Liquidation], since_ms: int, our_ms: int) -> list[Liquidation]:
        """Take back what an earlier run accepted, oldest first: known as repeats, and in the windows from `since_ms`.

        They are in no ledger, which counts what this run received. Returned are those in windows now; those of a venue
        whose clock was off by much, or of which ours is, wait until it is known. So may the others have to move then.
        """
        placed: list[Liquidation] = []
        events = list(liquidations)
        doubtful = set() if self.clock.is_started else self._doubtful(events, our_ms)
        self._recalled_ms, self._recalled_since_ms = our_ms, our_ms - since_ms
        # Where our clock is ahead, what came last of each venue is in windows still once the venues' are known.
        newest_ms: dict[str, int] = {}
        for event in events:
            newest_ms[event.venue] = max(event.event_ms, newest_ms.get(event.venue, event.event_ms))
        if not self.clock.is_started:
            self.clock.begin(our_ms)
        for liquidation in events:
            if liquidation.id:
                is_new = self._filter(liquidation.venue).identities.is_new
                is_new(liquidation.id, liquidation.event_ms)
                if "%" in liquidation.id:  # control characters were encoded when it was kept
                    is_new(unquote(liquidation.id), liquidation.event_ms)
            self.instruments.recall(liquidation)
            is_placed = liquidation.venue not in doubtful and liquidation.event_ms > since_ms
            if is_placed:
                self.clock.reached(liquidation.venue, liquidation.event_ms)
                self.engine.add(liquidation)
                placed.append(liquidation)
            is_waiting = (
                liquidation.venue in doubtful
                or liquidation.event_ms > newest_ms[liquidation.venue] - self._recalled_since_ms
            )
            if not self.clock.is_started and (is_placed or is_waiting):
                self._recalled.append(_Recalled(liquidation, liquidation.event_ms if is_placed else None))
        return placed

    def _doubtful(self, events: Sequence[Liquidation], our_ms: int) -> set[str]:
        """Venues of which stamps and receipts differed, or that are ahead of our time."""
        differences: dict[str, list[int]] = {}
        for event in events:
            if event.receive_ms is not None:
                differences.setdefault(event.venue, []).append(event.event_ms - event.receive_ms)
        off = {venue for venue, found in differences.items() if abs(median(found)) > LATE_MS + AHEAD_MS}
        return off | {event.venue for event in events if event.event_ms > our_ms + AHEAD_MS}

    def forgotten_total(self) -> int:
        """Identities forgotten because their store was full: repeats of those would count again."""
        return sum(door.identities.forgotten_total for door in self._filters.values())


def _note(event: Event, ledger: Ledger, ticks: list[PriceTick]) -> bool:
    """Take in what is no liquidation; return whether it is no event of the ledger either."""
    if isinstance(event, Invalid):
        ledger.events_rejected_invalid += 1
        return False
    if isinstance(event, PriceTick):
        ticks.append(event)
    return True
