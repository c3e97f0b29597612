"""The gaps of all venues: intervals in which something may have been missed, told to the windows and to who asks."""

import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping

from msgspec.structs import replace

from liqtape.engine.velocity import VelocityEngine
from liqtape.events import NO_LIST, Gap
from liqtape.pipeline.clock import EventClock
from liqtape.pipeline.feedlives import EVER_MS, LAG_MS, FeedLives

__all__ = ["STARTING", "Outages"]

STARTING = "not live yet"
"""The reason of a gap between a start and the first data."""

_KEPT = 10_000


class Outages:
    """Turns what the feeds tell into gaps, all in the venues' own time; the newest 10,000 are kept.

    Coverage is judged where the venue's windows stand, so the engine is told of it by `lives`, once the clocks are
    known. Until a venue's clock is heard, our own time stands for the beginning of a start.

    `max_publish_delay_ms` is how long each venue may hold a liquidation back: a gap begins so much before the feed was
    lost, for what was on its way is lost as well, and bears an older stamp. `on_gap` gets each gap when it begins
    (`until_ms` None), when it ends, and when it was filled: venue and `from_ms` are the same each time. No two gaps of
    a venue overlap, whatever is found when, but those without a list, which are no outages.
    """

    def __init__(
        self,
        engine: VelocityEngine,
        max_publish_delay_ms: Mapping[str, int],
        on_gap: Callable[[Gap], object] | None = None,
        clock: EventClock | None = None,
    ) -> None:
        self.total = 0
        self.lives = FeedLives(engine, clock)
        self._engine = engine
        self._on_gap = on_gap
        self._clock = clock
        self._early: list[tuple[int, Callable[[int], None]]] = []  # (our time, what the engine is to be told)
        self._spans: dict[tuple[str, int], tuple[int, int]] = {}  # of gaps by venue and beginning, as the engine has it
        self._lost: dict[str, int] = {}  # where the engine has the beginning of each open gap
        self._starting: set[str] = set()  # venues whose open gap began by our time
        self._max_publish_delay_ms = max_publish_delay_ms
        self._live_ms: dict[str, int] = {}  # since when what each venue sent is known
        self._open: dict[str, Gap] = {}
        self._unlisted: dict[str, Gap] = {}
        self._lacking: dict[str, Gap] = {}  # of venues that live, but for what they refuse
        self._past: deque[Gap] = deque(maxlen=_KEPT)

    def gaps(self) -> list[Gap]:
        """The known gaps, those that last still at the end."""
        return [*self._past, *self._open.values(), *self._lacking.values(), *self._unlisted.values()]

    def is_open(self, venue: str) -> bool:
        """Whether the venue has a gap that lasts."""
        return venue in self._open or venue in self._lacking

    def begin(self, gap: Gap) -> None:
        """A gap that began before the feed was ever live."""
        if gap.venue not in self._open:
            self._open[gap.venue] = gap
            self.total += 1
            self._tell(gap)
            if gap.reason == STARTING:
                self._starting.add(gap.venue)

    def down(self, venue: str, known_until_ms: int, reason: str) -> int:
        """What the venue sent is known up to that moment; where the gap begins."""
        at_ms = self.beginning(venue, known_until_ms)
        from_ms = at_ms
        lacking = self._lacking.get(venue)
        if lacking is not None and lacking.from_ms >= at_ms:
            # Refused just where the outage begins: ended there, that gap would be empty, and the outage could not begin
            # where it does, for gaps are told apart by their beginning.
            del self._lacking[venue]
            from_ms = lacking.from_ms
            self._fill_up(venue, self._free(venue, at_ms, from_ms), reason)
            self._open[venue] = outage = replace(lacking, reason=f"{reason}; {lacking.reason}")
            self._tell(outage)
        elif venue not in self._open:
            self.refused(venue, at_ms, "")
            *ended, (from_ms, _) = self._free(venue, at_ms, None)
            self._fill_up(venue, ended, reason)
            self.begin(Gap(venue, from_ms, None, reason))

        def tell(t_ms: int) -> None:
            self._lost[venue] = self.lives.past_ms(venue, from_ms, t_ms)
            self.lives.down(venue, at_ms, t_ms)

        self._tell_engine(tell)
        return at_ms

    def up(self, venue: str, at_ms: int) -> Gap | None:
        """The venue's feed is live since that moment; the gap that ended, if there was one."""
        self._live_ms[venue] = at_ms
        gap = self._open.pop(venue, None)
        our_ms = at_ms if self._clock is None else self._clock.our_ms
        if gap is not None and venue in self._starting:
            gap = self._by_its_clock(gap, at_ms, our_ms)
        self._starting.discard(venue)

        def tell(t_ms: int) -> None:
            up_ms = self.lives.up(venue, at_ms, t_ms)
            lost_ms = self._lost.pop(venue, None)
            if gap is not None and lost_ms is not None:
                self._note_span(gap, lost_ms, up_ms)

        self._tell_engine(tell)
        return None if gap is None else self._end(replace(gap, until_ms=max(gap.from_ms, at_ms)))

    def missed(self, venue: str, from_ms: int, until_ms: int, reason: str) -> list[Gap]:
        """It turned out that the feed had not been live in between: the gaps there that were not known."""
        at_ms = self.beginning(venue, from_ms)
        spans = self._free(venue, at_ms, until_ms)
        found = [Gap(venue, begin_ms, end_ms, reason) for begin_ms, end_ms in spans]

        def tell(t_ms: int) -> None:
            past_ms = self.lives.past_ms
            self._engine.feed_missed(venue, past_ms(venue, at_ms, t_ms), past_ms(venue, until_ms, t_ms))
            for gap in found:
                end_ms = until_ms if gap.until_ms is None else gap.until_ms
                self._note_span(gap, past_ms(venue, gap.from_ms, t_ms), past_ms(venue, end_ms, t_ms))

        self._tell_engine(tell)
        self.total += len(found)
        return [self._end(gap) for gap in found]

    def refused(self, venue: str, at_ms: int, reason: str) -> None:
        """Since that moment the feed lives but lacks what the venue refuses; an empty reason ends that.

        The windows know of it by `unsubscribed`: those of the instruments that do come stay whole. An outage that lasts
        has it as one more reason.
        """
        if (outage := self._open.get(venue)) is not None:
            if reason and reason not in outage.reason:
                reason = reason if outage.reason == STARTING else f"{outage.reason}; {reason}"
                self._open[venue] = outage = replace(outage, reason=reason)
                self._tell(outage)
            return
        gap = self._lacking.get(venue)
        if gap is not None and gap.reason != reason:
            del self._lacking[venue]
            self._end(replace(gap, until_ms=max(gap.from_ms, at_ms)))
        if reason and venue not in self._lacking:
            from_ms, _ = self._free(venue, at_ms, None)[-1]
            self._lacking[venue] = gap = Gap(venue, from_ms, None, reason)
            self.total += 1
            self._tell(gap)

    def unsubscribed(self, venue: str, at_ms: int, instruments: Collection[str], *, is_listed: bool) -> None:
        """Since that moment the venue's feed brings all but these instruments; unless `is_listed` others may exist.

        No outage of the others, and their windows stay whole; the gap says when the rest was not seen.
        """
        t_ms = 0 if self._clock is None else self._clock.t_ms(self._clock.our_ms)
        window_ms = self.lives.present_ms(venue, at_ms, t_ms)
        self._engine.feed_unsubscribed(venue, instruments, window_ms, is_listed=is_listed)
        gap = self._unlisted.get(venue)
        if not is_listed and gap is None:
            # Gaps are told apart by their beginning, and an outage may begin with the life of the feed.
            self._unlisted[venue] = gap = Gap(venue, at_ms + 1, None, NO_LIST)
            self.total += 1
            self._tell(gap)
        elif is_listed and gap is not None:
            del self._unlisted[venue]
            self._end(replace(gap, until_ms=max(gap.from_ms, at_ms)))

    def backfilled(self, gap: Gap) -> None:
        """Everything of an ended gap was got afterwards.

        Where the venue's clock was set while the feed was lost, its stamps say another length than our time does, and
        no question by stamps has all of it: what came is in the windows, and the gap stays.

            our time    |------------- 69 s -------------|
            stamps    372 ... 411, 351 ............... 381      asked for 372 to 381
        """
        if gap.until_ms is None:
            return
        until_ms = gap.until_ms
        told = self._spans.get((gap.venue, gap.from_ms))
        if told is not None and abs((told[1] - told[0]) - (until_ms - gap.from_ms)) > LAG_MS:
            return

        def tell(t_ms: int) -> None:
            shift_ms = self.lives.shift_ms(gap.venue)
            span = self._spans.pop((gap.venue, gap.from_ms), (gap.from_ms - shift_ms, until_ms - shift_ms))
            self._engine.feed_backfilled(gap.venue, span[0], min(span[1], t_ms))

        self._tell_engine(tell)
        backfilled = replace(gap, backfilled=True)
        for place, past in enumerate(self._past):
            if past == gap:
                self._past[place] = backfilled
                break
        self._tell(backfilled)

    def beginning(self, venue: str, known_until_ms: int) -> int:
        """Where a gap begins when what the venue sent is known up to there."""
        at_ms = known_until_ms - self._max_publish_delay_ms.get(venue, 0)
        live_ms = self._live_ms.get(venue, known_until_ms)
        # A venue that is known only to long before it was live has set its clock back since.
        return at_ms if live_ms - known_until_ms > LAG_MS else min(known_until_ms, max(at_ms, live_ms))

    def begun(self) -> None:
        """The clocks are known: tell the engine what waited for them."""
        if self._clock is not None:
            self.reassess()
            early, self._early = self._early, []
            for our_ms, tell in early:
                tell(self._clock.t_ms(our_ms))

    def _by_its_clock(self, gap: Gap, at_ms: int, our_ms: int) -> Gap:
        """Return the gap of a start by its venue's clock; the one by ours ends empty where that says another time.

        Ours may be an hour slow: it would lie over an hour of which all is known.
        """
        if abs(at_ms - our_ms) <= LAG_MS:
            return gap
        self._end(replace(gap, until_ms=gap.from_ms))
        return replace(gap, from_ms=at_ms - max(0, our_ms - gap.from_ms))

    def moved(self, by_ms: int, by_venue: Mapping[str, int]) -> None:
        """The common time has stepped, and what the engine was told of a venue has moved by so much."""
        self.lives.moved(by_ms, by_venue)
        self._lost = {venue: at_ms + by_venue.get(venue, 0) for venue, at_ms in self._lost.items()}
        self._spans.clear()

    def place_recalled(self) -> None:
        """Place what an earlier run's feeds were by the clocks that have become known since; once a second."""
        self._placed_anew(self.lives.place_recalled())

    def reassess(self) -> None:
        """Clocks are others than they were taken for: place anew what the engine was told."""
        self._placed_anew(self.lives.reassess())

    def _placed_anew(self, venues: Collection[str]) -> None:
        if venues:
            self._lost = {venue: at_ms for venue, at_ms in self._lost.items() if venue not in venues}
            self._spans = {key: span for key, span in self._spans.items() if key[0] not in venues}

    def _tell_engine(self, tell: Callable[[int], None]) -> None:
        if self._clock is None:
            tell(EVER_MS)
        elif self._clock.is_started and not self._early:
            tell(self._clock.now_ms)
        else:
            self._early.append((self._clock.our_ms, tell))

    def _note_span(self, gap: Gap, from_ms: int, until_ms: int) -> None:
        self._spans[gap.venue, gap.from_ms] = from_ms, until_ms
        if len(self._spans) > _KEPT:
            del self._spans[next(iter(self._spans))]

    def _free(self, venue: str, from_ms: int, until_ms: int | None) -> list[tuple[int, int | None]]:
        """What of that span no known gap has, oldest first; without an end, the last one is what lasts.

        An empty gap has nothing of it. One in what is still to come is that of a start: it began by our time, and the
        venue's clock is behind.
        """
        end_ms: float = math.inf if until_ms is None else until_ms
        known = (gap for gap in self.gaps() if gap.venue == venue and gap.reason != NO_LIST)
        taken = sorted((gap.from_ms, math.inf if gap.until_ms is None else gap.until_ms) for gap in known)
        free: list[tuple[int, int | None]] = []
        at: float = from_ms
        for begin_ms, over in taken:
            if begin_ms == over:
                at += begin_ms == at and until_ms is None  # gaps are told apart by their beginning
                continue
            if at < min(begin_ms, end_ms):
                free.append((int(at), min(begin_ms, until_ms or begin_ms)))
            at = max(at, over)
        if at < end_ms:
            free.append((int(at), until_ms))
        return free

    def _fill_up(self, venue: str, spans: Iterable[tuple[int, int | None]], reason: str) -> None:
        for from_ms, until_ms in spans:
            self.total += 1
            self._end(Gap(venue, from_ms, until_ms, reason))

    def _end(self, gap: Gap) -> Gap:
        self._past.append(gap)
        self._tell(gap)
        return gap

    def _tell(self, gap: Gap) -> None:
        if self._on_gap is not None:
            self._on_gap(gap)
