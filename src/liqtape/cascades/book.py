"""The book of cascades: detectors that rise open them, liquidations fill them, time ends them."""

from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence

from msgspec.structs import replace

from liqtape.cascades.aftermath import Aftermath
from liqtape.cascades.cascade import Cascade, CascadeScope
from liqtape.cascades.recentevents import MOST_EVENTS, RecentEvents
from liqtape.cascades.runningcascade import QUIET_AFTER_MS, Placed, Rise, RunningCascade
from liqtape.cascades.slidingminute import MINUTE_MS
from liqtape.engine.levels.returnperiods import BREADTH_KEY, MARKET_KEY, StreamKey
from liqtape.engine.velocity import MARKET
from liqtape.events import NO_LIST, Gap, Liquidation

__all__ = ["JOIN_MS", "LEAST_RAISED", "MOST_KEPT", "CascadeBook"]

MOST_KEPT = 500
"""Ended cascades that are remembered."""

JOIN_MS = 60_000
"""What rose within so long belongs together."""

LEAST_RAISED = 3
"""From so many instruments on, raised together, the market's cascade is more than theirs."""

_TELL_EVERY_MS = 10_000
_GIVEN_AT_ONCE = 1_000  # to cascades: what a second brings takes half a second
_MOST_GAPS = 1_000
_STEP_BACK_MS = 60_000
_GAPS_MS = 8 * 3_600_000  # longer than any cascade lasts


_Batch = tuple[int, Sequence[Liquidation], Mapping[str, int]]
"""When liquidations came, or when the last of them is stamped if that is later; what is taken off their stamps."""


class CascadeBook:
    """The cascades of a run, live or past: pure, its time is the venues' common time.

    Of a stream one cascade goes on at a time, whichever detectors rise: an instrument's (at whichever venue it rose), a
    venue's, or the market's. **One instrument or the market?** Each instrument that rises has a cascade. When the
    market as a whole rises and at least three instruments rose within 60 s of it, or a detector of breadth rises, the
    market has one as well: of all liquidations, with the instruments that rose within 60 s before or while it lasts as
    `raised`, whose own cascades are `part_of` it. When it ends: `runningcascade`.

    `take_news` gives each cascade when it opens, when more is known of it (at most every 10 s), when it ends, and when
    an hour has passed since. `hidden` are the venues that throttle, and those that show chosen accounts only.
    """

    def __init__(
        self,
        hidden: tuple[Collection[str], Collection[str]] = ((), ()),
        *,
        knows_gaps: bool = True,
        most_kept: int = MOST_KEPT,
    ) -> None:
        self.totals: Counter[str] = Counter()  # that began, by detector
        self._hidden = hidden
        self._knows_gaps = knows_gaps
        self._recent = RecentEvents()
        self._waiting: deque[_Batch] = deque()  # that nothing needed to be known of yet
        self._waiting_events = 0
        self._running: dict[StreamKey, RunningCascade] = {}
        self._keys: dict[CascadeScope, dict[str, StreamKey]] = {"instrument": {}, "venue": {}, "market": {}}
        self._done: deque[Cascade] = deque(maxlen=most_kept)
        self._aftermath = Aftermath()
        self._gaps: dict[tuple[str, int], Gap] = {}
        self._raises: dict[str, int] = {}  # when instruments last rose
        self._market: Rise | None = None  # risen, and waits for instruments
        self._ends: dict[StreamKey, int] = {}
        self._news: dict[str, Cascade] = {}
        self._now_ms = 0

    @property
    def total(self) -> int:
        """How many began."""
        return self.totals.total()

    # What comes in.

    def add(self, events: Sequence[Liquidation], shifts_ms: Mapping[str, int] | None = None) -> None:
        """Take in liquidations; `shifts_ms` is by how much the clock of a venue is ahead."""
        if events:
            newest = events[-1]
            shifts = shifts_ms or {}
            at_ms = max(self._now_ms, newest.event_ms - shifts.get(newest.venue, 0))
            self._waiting.append((at_ms, events, shifts))
            self._waiting_events += len(events)
            if self._waiting_events >= _GIVEN_AT_ONCE and self._running:
                self._settle()

    def rise(self, rise: Rise) -> None:
        """Take in that a detector was raised: a cascade opens, or goes on."""
        self._settle()
        if rise.key in {MARKET_KEY, BREADTH_KEY}:
            self._market = replace(rise, key=MARKET_KEY)
            self._join(rise.at_ms, is_broad=rise.key == BREADTH_KEY)
            return
        key = rise.key if rise.key.instrument is None else StreamKey(None, rise.key.instrument)
        running = self._rise_of(replace(rise, key=key))
        if key.instrument is not None:
            self._raises.pop(key.instrument, None)
            self._raises[key.instrument] = rise.at_ms
            market = self._open_at(MARKET_KEY, rise.at_ms)
            if market is not None:
                _take_part(market, running)
            else:
                self._join(rise.at_ms)

    def gap(self, gap: Gap) -> None:
        """Take in a gap as it is known now."""
        if gap.reason == NO_LIST:
            return  # of instruments that nobody asked for
        self._gaps[gap.venue, gap.from_ms] = gap
        if len(self._gaps) > _MOST_GAPS:
            del self._gaps[next(iter(self._gaps))]

    def price(self, at_ms: int, price: float) -> None:
        """Take in the price of BTC."""
        self._aftermath.price(at_ms, price)

    def tick(self, now_ms: int) -> None:
        """Let a second pass, after all that came in it."""
        if self._running or self._aftermath.is_following:
            self._settle()
        if now_ms < self._now_ms - _STEP_BACK_MS:  # the clock was wrong by more than anything can be late
            self.finish()
        passed_ms = max(0, now_ms - self._now_ms) if self._now_ms else 0
        self._now_ms = now_ms
        self._recent.forget(now_ms)
        self._forget_waiting(now_ms)
        if self._running:
            away = {gap.venue for gap in self._gaps.values() if gap.until_ms is None}
            for running in list(self._running.values()):
                running.settle()
                running.wait_for(away, passed_ms)
                if running.is_over(now_ms):
                    self._end(running)
                elif running.has_news and now_ms - running.told_ms >= _TELL_EVERY_MS:
                    running.find_lead(now_ms)
                    self._tell(running, now_ms)
        for cascade in self._aftermath.due(now_ms):
            self._replace(cascade)
        self._forget(now_ms)

    def finish(self) -> None:
        """End what goes on: nobody looks any more. It is told as cut."""
        self._settle()
        for running in list(self._running.values()):
            self._end(running, is_cut=True)

    # What is known.

    def take_news(self) -> list[Cascade]:
        """Return the cascades of which something is new, each once and as it stands, in the order they began."""
        news, self._news = self._news, {}
        return sorted(news.values(), key=lambda cascade: (cascade.begin_ms, cascade.id))

    def running(self) -> list[Cascade]:
        """Return those that go on, the newest first."""
        self._settle()
        found = [self._whole(running) for running in self._running.values()]
        return sorted(found, key=lambda cascade: (-cascade.begin_ms, cascade.id))

    def ended(self) -> list[Cascade]:
        """Return those that are over, the newest end first: the last 500."""
        return list(reversed(self._done))

    def known(self) -> list[Cascade]:
        """Return those that go on, and behind them those that are over."""
        return [*self.running(), *self.ended()]

    def of(self, instrument: str) -> Cascade | None:
        """Return the cascade of an instrument (or of `MARKET`) that goes on, None where none does."""
        self._settle()
        running = self._running.get(MARKET_KEY if instrument == MARKET else StreamKey(None, instrument))
        return None if running is None else self._whole(running)

    # How it goes.

    def _settle(self) -> None:
        """Give what came to the cascades it belongs to."""
        waiting, self._waiting, self._waiting_events = self._waiting, deque(), 0
        recent, see = self._recent.add, self._aftermath.see
        for _, events, shifts in waiting:
            for event in events:
                placed: Placed = (event.event_ms - shifts.get(event.venue, 0) if shifts else event.event_ms, event)
                recent(placed)
                see(placed)
                if self._running:
                    self._give(placed)

    def _give(self, placed: Placed) -> None:
        at_ms, event = placed
        keys = self._keys
        found = keys["instrument"].get(event.instrument), keys["venue"].get(event.venue), keys["market"].get(MARKET)
        for key in found:
            if key is not None and (cascade := self._open_at(key, at_ms)) is not None:
                cascade.add(placed)

    def _forget_waiting(self, now_ms: int) -> None:
        """Forget what is too old for anything that may begin, without having looked at it."""
        waiting = self._waiting
        while waiting and (waiting[0][0] <= now_ms - MINUTE_MS or self._waiting_events > MOST_EVENTS):
            self._waiting_events -= len(waiting.popleft()[1])

    def _open_at(self, key: StreamKey, at_ms: int) -> RunningCascade | None:
        """Return the cascade of a stream that goes on at a moment; one that was over by then ends."""
        running = self._running.get(key)
        if running is None or not running.is_over(at_ms):
            return running
        self._end(running)
        return None

    def _rise_of(self, rise: Rise) -> RunningCascade:
        running = self._open_at(rise.key, rise.at_ms)
        if running is not None:
            running.rise_again(rise)
            if running.has_news:
                self._tell(running, rise.at_ms)
            return running
        since_ms = self._ends.get(rise.key, 0)
        before = [placed for placed in self._recent.of(rise.key, rise.at_ms) if placed[0] > since_ms]
        names = _names_of(rise.key)
        running = self._running[rise.key] = RunningCascade(rise, names, before, self._hidden)
        self._keys[names[0]][names[1]] = rise.key
        self.totals[rise.detector] += 1
        self._tell(running, rise.at_ms)
        return running

    def _join(self, at_ms: int, *, is_broad: bool = False) -> None:
        """Open the market's cascade, or let it go on, where enough rose with it."""
        rise = self._market
        if rise is None or at_ms - rise.at_ms > JOIN_MS:
            return
        together = [name for name, risen_ms in self._raises.items() if at_ms - risen_ms <= JOIN_MS]
        is_enough = is_broad or len(together) >= LEAST_RAISED
        if not is_enough and self._open_at(MARKET_KEY, at_ms) is None:
            return
        self._market = None
        market = self._rise_of(replace(rise, at_ms=max(at_ms, rise.at_ms)))
        for name in together:
            member = self._running.get(StreamKey(None, name))
            if member is not None:
                _take_part(market, member)
        self._tell(market, at_ms)

    def _end(self, running: RunningCascade, *, is_cut: bool = False) -> None:
        del self._running[running.key], self._keys[running.scope][running.name]
        running.settle()
        self._ends[running.key] = running.last_ms
        running.find_lead(self._now_ms, is_over=True)
        cascade = self._whole(running, is_over=True, is_cut=is_cut)
        self._done.append(cascade)
        self._news[cascade.id] = cascade
        self._aftermath.follow(cascade, running)

    def _whole(self, running: RunningCascade, *, is_over: bool = False, is_cut: bool = False) -> Cascade:
        """Return it with what the book knows: gaps and prices."""
        cascade = running.record(is_over=is_over, is_cut=is_cut)
        move_of, during = self._aftermath.move(cascade, running)
        return replace(cascade, gaps=self._gaps_of(cascade), move_of=move_of, move_during=during)

    def _gaps_of(self, cascade: Cascade) -> tuple[Gap, ...] | None:
        if not self._knows_gaps:
            return None
        until_ms = cascade.last_ms + QUIET_AFTER_MS
        inside = [
            gap
            for gap in self._gaps.values()
            if gap.from_ms < until_ms and (gap.until_ms is None or gap.until_ms > cascade.begin_ms)
        ]
        return tuple(sorted(inside, key=lambda gap: (gap.from_ms, gap.venue)))

    def _tell(self, running: RunningCascade, now_ms: int) -> None:
        running.has_news, running.told_ms = False, now_ms
        self._news[running.id] = self._whole(running)

    def _replace(self, cascade: Cascade) -> None:
        """Remember more of an ended one."""
        self._news[cascade.id] = cascade
        for place, done in enumerate(self._done):
            if done.id == cascade.id:
                self._done[place] = cascade
                return

    def _forget(self, now_ms: int) -> None:
        self._raises = {name: at_ms for name, at_ms in self._raises.items() if now_ms - at_ms <= JOIN_MS}
        self._ends = {key: at_ms for key, at_ms in self._ends.items() if now_ms - at_ms <= 2 * QUIET_AFTER_MS}
        old = [key for key, gap in self._gaps.items() if gap.until_ms is not None and gap.until_ms < now_ms - _GAPS_MS]
        for place in old:
            del self._gaps[place]


def _names_of(key: StreamKey) -> tuple[CascadeScope, str]:
    if key.instrument is not None:
        return "instrument", key.instrument
    return ("market", MARKET) if key.venue is None else ("venue", key.venue)


def _take_part(market: RunningCascade, member: RunningCascade) -> None:
    """Let an instrument's cascade be a part of the market's."""
    if member.name not in market.raised:
        market.raised[member.name] = None
        market.has_news = True
    if member.part_of is None:
        member.part_of = market.id
        member.has_news = True
