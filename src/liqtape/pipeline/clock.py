"""The time of a live run: one that all venues share, and for each venue how far its own windows reach.

Naive: the newest stamp, or the wall clock. Then one venue whose clock is a minute fast empties the windows of all
others, a step of our own clock does so too, and the newest second of a venue that holds its events back is missed.
Metrics definition, section 0.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from heapq import heappop, heappush

from msgspec import Struct

__all__ = ["AHEAD_MS", "LATE_MS", "ClockStep", "EventClock"]

AHEAD_MS = 2_000
"""A stamp further ahead than this of its venue's time is none to go by yet."""

LATE_MS = 1_500
"""A stamp so far behind its venue's time, or so much less before ours, may have been placed by a wrong clock."""

_SAMPLED_MS = 10_000
_ENOUGH = 5
_MOST_SAMPLES = 20_000  # of a venue: twice what the busiest has in that time
_TOGETHER_MS = 1_000  # trades that came together and lie further apart are a venue's past, or have waited
_OFF_MS = 1_000
_ON_AGAIN_MS = 700  # a clock that is off by just a second must not change its state with every trade
_START_MS = 5_000
_ALONE_MS = 60_000
_SLEW = 1_000  # our ms for each ms that the offset may follow the venues
_ESTIMATE_MS = 200
_PAUSE_MS = 5_000  # without a sign of life from our own side
_STALE_MS = 1_000  # after a pause: what waited in the sockets meanwhile
_JUMPED_MS = 20_000
_SMALL_MS = 2 * _OFF_MS  # where O steps by no more, an event may stand at its own stamp before and after
_COUNTED_MS = 500  # a shift that changes by more has stepped, by less it follows


class ClockStep(Struct, frozen=True):
    """Time or a venue's shift was not what it was taken for.

    Without a `venue` the common time moved by `by_ms`; what is due at a time of it moves along, unless our own clock
    `has_jumped`, and it is that much later really. `by_venue` says by how much all events and feeds of a venue are to
    move, where O was taken from a venue that was wrong, from the start or because it was alone when its clock stepped.
    With a `venue` its shift is larger by `by_ms`: events that came since its clock stepped, and all that were shifted
    by what was believed before, are to be placed anew. Where that was believed for less than it takes to change the
    median of a steady stream, `since_ms` of our time, it was no clock, but a few trades that were held up together; and
    where nothing was known of the clock before, all came by the one that is known now.
    """

    venue: str
    by_ms: int
    by_venue: Mapping[str, int] = {}
    has_jumped: bool = False
    since_ms: int = 0


class _Reach:
    """What is known of one venue's time."""

    __slots__ = (
        "at_ms",
        "before_ms",
        "beyond",
        "counts",
        "holds_ms",
        "jumped_ms",
        "newest_ms",
        "off_ms",
        "samples",
        "shift_ms",
        "shifted_ms",
        "steady_ms",
        "unsteady_ms",
    )

    def __init__(self, max_publish_delay_ms: int) -> None:
        self.holds_ms = max_publish_delay_ms
        self.samples: deque[tuple[int, int]] = deque()  # (our time of receipt, stamp less that) of trades
        self.counts: dict[int, int] = {}  # of the differences among the samples
        self.off_ms: int | None = None  # d: by how much its clock goes before our time
        self.before_ms: int | None = None  # d before it jumped
        self.jumped_ms = -_JUMPED_MS
        self.steady_ms: int | None = None  # d when it began to be about what it is
        self.unsteady_ms: int | None = None  # our time when it was about something else
        self.shift_ms = 0
        self.shifted_ms = -_SAMPLED_MS  # our time when that stepped
        self.newest_ms: int | None = None  # window stamp, of those not too far ahead
        self.beyond: list[int] = []  # of those that are, a heap
        self.at_ms = 0  # t_v

    def sample(self, our_ms: int, difference_ms: int) -> None:
        if len(self.samples) >= _MOST_SAMPLES:
            self._forget_oldest()
        self.samples.append((our_ms, difference_ms))
        self.counts[difference_ms] = self.counts.get(difference_ms, 0) + 1

    def forget(self, until_ms: int) -> None:
        while self.samples and self.samples[0][0] <= until_ms:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        _, difference_ms = self.samples.popleft()
        left = self.counts[difference_ms] - 1
        if left:
            self.counts[difference_ms] = left
        else:
            del self.counts[difference_ms]

    def measure(self, our_ms: int) -> None:
        """Take the median of the samples; the last value stands while there are too few."""
        self.forget(our_ms - _SAMPLED_MS)
        if len(self.samples) < _ENOUGH:
            return
        off_ms = _median(sorted(self.counts.items()), len(self.samples), self.off_ms)
        if self.off_ms is not None and abs(off_ms - self.off_ms) > _OFF_MS:
            self.before_ms, self.jumped_ms = self.off_ms, our_ms
        self.off_ms = off_ms
        if self.steady_ms is None or abs(off_ms - self.steady_ms) > _COUNTED_MS:
            self.unsteady_ms = None if self.steady_ms is None else our_ms
            self.steady_ms = off_ms

    def move_samples(self, by_ms: int) -> None:
        """Our own time of receipt was wrong by so much."""
        moved = [(our_ms, difference_ms + by_ms) for our_ms, difference_ms in self.samples]
        self.samples.clear()
        self.counts.clear()
        for our_ms, difference_ms in moved:
            self.sample(our_ms, difference_ms)

    def reach(self, t_ms: int) -> int:
        """Its evaluation time when the common one is `t_ms`, which never goes back."""
        while self.beyond and self.beyond[0] <= t_ms + AHEAD_MS:
            self.newest_ms = max(heappop(self.beyond), self.newest_ms or 0)
        self.at_ms = t_ms - self.holds_ms if self.newest_ms is None else max(self.newest_ms, t_ms - self.holds_ms)
        return self.at_ms

    def peek(self, t_ms: int) -> int:
        """The same, for somebody who only looks."""
        seen = [at_ms for at_ms in self.beyond if at_ms <= t_ms + AHEAD_MS]
        return max(t_ms - self.holds_ms, self.newest_ms or 0, max(seen, default=0))


class EventClock:
    """Common time t = u + O and, for each venue, its evaluation time t_v.

    u is our own steady time, given by the caller in ms and kept with recordings. For each venue d is the median of
    (stamp - u at receipt) over its trades of the last 10 s, at least five of them, the newest 20,000 where there are
    more.

    ::

        u of receipt  ---+---------+---------+---------+---------+---->      steady, never set again
                          d of bybit, -120 ms: the way
        t = u + O     ---+---------+---------+---------+---------+---->      O follows the median d by 1 ms/s at most
                                                       ^ t
        bybit           . .  .      . . .      .  . .|                       no shift: d - O is below a second
                                                ^ t - h    ^ newest = t_v
        slow          (stamps 60 s behind)                                   `clock off`: d - O = -60 s = shift
                        . .  .      . . .      .  . .|                       stands in windows at stamp - shift

    - O begins as the median of the d (of an even number the middle one that is smaller in size), when two of the
      venues that are `awaited` have one, at most 5 s after `wait`; until then `is_started` is False and events wait.
      Then it follows, and steps at once only where two live venues agree within 1 s that it is off by more than 1 s,
      or one that is alone says so for 60 s. Of an even number the middle one nearer to O counts.
    - shift = d - O where that is more than 1 s, else 0; state `clock off`, until it is below 0.7 s. A source without
      trades has no d, no vote, and no shift.
    - t_v = max(newest window stamp not beyond t + 2 s, t - h): h is what the venue holds back.

    Steps are counted and wait in `steps` for whoever placed events by what was believed before. There are three kinds::

        our time stood still (asleep):  all d jump together   O steps, events stand right, time goes on after the gap
        O was wrong:                    the d did not jump    O steps, and everything so far moves along with it
        a venue's clock steps:          one d jumps           its shift steps; what came since is placed anew

    After five seconds without any sign of life of our own, as when a process was stopped, trades of the first second
    are no samples: they waited in the socket. Neither are trades that came together and lie more than a second apart,
    as those a venue repeats at subscribe.

    >>> clock = EventClock({"bybit": 600})
    >>> for i in range(8): clock.observe("bybit", [99_900 + i], 100_000 + i)
    >>> clock.reached("bybit", 99_850)
    >>> clock.t_ms(100_100), clock.at(100_100)["bybit"], clock.at(101_000)["bybit"]
    (100100, 99850, 100400)
    """

    def __init__(self, max_publish_delay_ms: Mapping[str, int] | None = None) -> None:
        self._reaches = {venue: _Reach(held) for venue, held in (max_publish_delay_ms or {}).items()}
        self.awaited = frozenset(self._reaches)
        self.restart()
        self.is_started = True

    def restart(self) -> None:
        """Forget whatever was known, as if nothing had come yet."""
        self.is_started = False
        self.our_ms = 0  # u: the newest that was told
        self.steps: list[ClockStep] = []
        self.steps_total = getattr(self, "steps_total", 0)
        self.has_begun = False  # since somebody looked: for whoever waited
        self._began_ms: int | None = None
        self._offset_ms = self._aim_ms = 0
        self._aimed_ms = 0
        self._estimated_ms = 0
        self._stale_until_ms = 0
        self._alone_ms: int | None = None
        self._reaches = {venue: _Reach(self._reaches[venue].holds_ms) for venue in self._reaches}
        self._at = {venue: reach.at_ms for venue, reach in self._reaches.items()}
        self._t_ms = 0

    def wait(self) -> None:
        """From now on events wait until two venues' clocks are known, 5 s at most; only before anything came."""
        self.is_started = not self.awaited

    # What is the time?

    def offset_ms(self, our_ms: int) -> int:
        """O at our time: on its way to the median of the venues, one ms a second."""
        behind, steps = self._aim_ms - self._offset_ms, max(0, our_ms - self._aimed_ms) // _SLEW
        return self._offset_ms + max(-steps, min(steps, behind))

    def t_ms(self, our_ms: int) -> int:
        """The common time at our time; looking at it changes nothing."""
        return our_ms + self.offset_ms(our_ms)

    def at(self, our_ms: int) -> Mapping[str, int]:
        """The evaluation times of all venues at our time, that of any other being the common time."""
        if our_ms <= self.our_ms:
            return dict(self._at)
        t_ms = self.t_ms(our_ms)
        return {venue: reach.peek(t_ms) for venue, reach in self._reaches.items()}

    @property
    def now_ms(self) -> int:
        """The common time at the newest of our times that was told."""
        return self._t_ms

    @property
    def now_at(self) -> Mapping[str, int]:
        """The venues' times with it; the mapping is the clock's own and goes on."""
        return self._at

    # What was told?

    def advance(self, our_ms: int) -> None:
        """It is that late by our time, or later."""
        if our_ms <= self.our_ms:
            return
        if self.our_ms and our_ms - self.our_ms > _PAUSE_MS:
            self._stale_until_ms = our_ms + _STALE_MS
        self.our_ms = our_ms
        self._settle()

    def observe(self, venue: str, stamps_ms: Sequence[int], our_ms: int) -> None:
        """Trades that came together."""
        self.advance(our_ms)
        if self.our_ms < self._stale_until_ms or not stamps_ms:
            return
        if len(stamps_ms) > 1 and max(stamps_ms) - min(stamps_ms) > _TOGETHER_MS:
            return
        reach = self._reach(venue)
        for stamp_ms in stamps_ms:
            reach.sample(our_ms, stamp_ms - our_ms)
        if self._began_ms is None:
            self._began_ms = our_ms
        if self.our_ms - self._estimated_ms >= _ESTIMATE_MS or not self.is_started:
            self.estimate()

    def begin(self, our_ms: int) -> None:
        """Something has come that waits for the clocks to be known; it begins when that has lasted long enough."""
        self.advance(our_ms)
        if self._began_ms is None:
            self._began_ms = our_ms
        if not self.is_started:
            self._start()

    def reached(self, venue: str, window_ms: int) -> None:
        """An event of the venue was accepted; it stands in windows at that time."""
        reach = self._reach(venue)
        if window_ms > self._t_ms + AHEAD_MS:
            heappush(reach.beyond, window_ms)
        elif reach.newest_ms is None or window_ms > reach.newest_ms:
            reach.newest_ms = window_ms
            if window_ms > reach.at_ms:
                reach.at_ms = self._at[venue] = window_ms

    def reach_of(self, venue: str) -> tuple[int, int, int]:
        """(shift, evaluation time, what is held back) of a venue now."""
        reach = self._reach(venue)
        return reach.shift_ms, reach.at_ms, reach.holds_ms

    def is_unknown(self, venue: str) -> bool:
        """Return whether the venue's clock will be known and is not yet."""
        return venue in self.awaited and self._reaches[venue].off_ms is None

    def shift_ms(self, venue: str) -> int:
        """What is taken off the venue's stamps."""
        reach = self._reaches.get(venue)
        return 0 if reach is None else reach.shift_ms

    @property
    def shifts(self) -> dict[str, int]:
        """Of the venues whose clock is off, by how much it goes before the others'."""
        return {venue: reach.shift_ms for venue, reach in self._reaches.items() if reach.shift_ms}

    @property
    def skews(self) -> dict[str, int]:
        """By how much our time goes before each venue's clock, what is always on the way included."""
        return {venue: -reach.off_ms for venue, reach in self._reaches.items() if reach.off_ms is not None}

    # What follows?

    def estimate(self) -> None:
        """Look at the clocks anew, as of the newest of our times; also once a second."""
        self._estimated_ms = self.our_ms
        unknown = [reach for reach in self._reaches.values() if reach.off_ms is None]
        for reach in self._reaches.values():
            if reach.samples:
                reach.measure(self.our_ms)
        if not self.is_started:
            self._start()
            return
        live = [reach for reach in self._reaches.values() if reach.samples and reach.off_ms is not None]
        self._follow(live)
        for venue, reach in self._reaches.items():
            before_ms = reach.shift_ms
            self._shift(reach)
            if abs(reach.shift_ms - before_ms) > _COUNTED_MS:
                self._shifted(venue, reach, reach.shift_ms - before_ms, is_first=reach in unknown)
                self._pull_back(reach, reach.shift_ms - before_ms)
        self._settle()

    def start(self) -> None:
        """Begin now, whatever is known."""
        if self.is_started:
            return
        known = sorted(reach.off_ms for reach in self._reaches.values() if reach.off_ms is not None)
        self._offset_ms = self._aim_ms = _middle(known, 0) if known else 0
        self._aimed_ms = self.our_ms
        self.is_started = self.has_begun = True
        self.steps_total += abs(self._offset_ms) > _OFF_MS
        for reach in self._reaches.values():
            self._shift(reach)
            if reach.shift_ms:
                reach.shifted_ms = self.our_ms
            if self._offset_ms < 0:
                self._pull_back(reach, 0)  # what was within 2 s of our time may be further ahead of the common one
        self._settle()

    def _start(self) -> None:
        known = sum(self._reaches[venue].off_ms is not None for venue in self.awaited)
        waited_ms = 0 if self._began_ms is None else self.our_ms - self._began_ms
        if known >= min(2, len(self.awaited)) or waited_ms >= _START_MS:
            self.start()

    def _follow(self, live: Sequence[_Reach]) -> None:
        """Let O go after the median of the live venues."""
        if not live:
            self._alone_ms = None
            return
        offset_ms = self.offset_ms(self.our_ms)
        target_ms = _middle(sorted(_known(live)), offset_ms)
        off_ms = target_ms - offset_ms
        is_alone = len(live) == 1 and abs(off_ms) > _OFF_MS
        self._alone_ms = None if not is_alone else self._alone_ms or self.our_ms
        agreeing = [reach for reach in live if abs((reach.off_ms or 0) - target_ms) <= _OFF_MS]
        is_believed = len(agreeing) > 1 or (self._alone_ms is not None and self.our_ms - self._alone_ms >= _ALONE_MS)
        if abs(off_ms) > _OFF_MS and is_believed:
            self._alone_ms = None
            self._step(off_ms, target_ms, agreeing)
        else:
            self._aim(target_ms, offset_ms)

    def _aim(self, target_ms: int, offset_ms: int) -> None:
        if offset_ms == self._aim_ms:  # it rested
            self._aimed_ms = self.our_ms
        else:
            self._aimed_ms += _SLEW * abs(offset_ms - self._offset_ms)
        self._offset_ms, self._aim_ms = offset_ms, target_ms

    def _step(self, by_ms: int, target_ms: int, agreeing: Sequence[_Reach]) -> None:
        """Put O where they say it is: at once, and counted."""
        self._offset_ms = self._aim_ms = target_ms
        self._aimed_ms = self.our_ms
        has_jumped = all(
            reach.before_ms is not None
            and self.our_ms - reach.jumped_ms <= _JUMPED_MS
            and abs((reach.off_ms or 0) - reach.before_ms - by_ms) <= _OFF_MS
            for reach in agreeing
        )
        by_venue: dict[str, int] = {}
        self._stepped(ClockStep("", by_ms, by_venue, has_jumped))
        for venue, reach in self._reaches.items():
            if reach.off_ms is None:
                continue
            before_ms = reach.shift_ms
            if has_jumped and self.our_ms - reach.jumped_ms > _JUMPED_MS:  # its trades have not told of it yet
                reach.off_ms += by_ms
                reach.move_samples(by_ms)
            self._shift(reach)
            change_ms = reach.shift_ms - before_ms
            if abs(change_ms) <= _COUNTED_MS:
                continue
            is_mixed = bool(before_ms) or reach.unsteady_ms is not None  # some of it stands at its own stamp
            if has_jumped or (is_mixed and abs(by_ms) <= _SMALL_MS):
                self._shifted(venue, reach, change_ms)
                continue
            by_venue[venue] = -change_ms  # by whatever clock it came, it was placed in a time that was not
            reach.newest_ms = None if reach.newest_ms is None else reach.newest_ms - change_ms
            reach.beyond = [at_ms - change_ms for at_ms in reach.beyond]
        if by_ms < 0:
            for reach in self._reaches.values():
                self._pull_back(reach, 0)

    def _shift(self, reach: _Reach) -> None:
        if reach.off_ms is not None:
            off_ms = reach.off_ms - self.offset_ms(self.our_ms)
            is_off = abs(off_ms) > (_ON_AGAIN_MS if reach.shift_ms else _OFF_MS)
            reach.shift_ms = off_ms if is_off else 0

    def _shifted(self, venue: str, reach: _Reach, by_ms: int, *, is_first: bool = False) -> None:
        is_passing = self.our_ms - reach.shifted_ms < _SAMPLED_MS // 2
        since_ms = 1 if is_first else reach.shifted_ms if is_passing else 0
        self._stepped(ClockStep(venue, by_ms, since_ms=since_ms))
        reach.shifted_ms = self.our_ms

    def _pull_back(self, reach: _Reach, by_ms: int) -> None:
        """The venue's time must not stay where stamps of a wrong clock took it."""
        reach.beyond = []
        if reach.newest_ms is not None:
            reach.newest_ms -= max(0, by_ms)
            if reach.newest_ms > self.t_ms(self.our_ms) + AHEAD_MS:
                reach.newest_ms = None

    def _stepped(self, step: ClockStep) -> None:
        self.steps.append(step)
        self.steps_total += 1

    def _reach(self, venue: str) -> _Reach:
        reach = self._reaches.get(venue)
        if reach is None:
            reach = self._reaches[venue] = _Reach(0)
            self._at[venue] = reach.reach(self._t_ms)
        return reach

    def _settle(self) -> None:
        """All that follows from our time and O."""
        t_ms = self.t_ms(self.our_ms)
        self._t_ms = t_ms
        for venue, reach in self._reaches.items():
            self._at[venue] = reach.reach(t_ms)


def _known(reaches: Iterable[_Reach]) -> list[int]:
    return [reach.off_ms for reach in reaches if reach.off_ms is not None]


def _middle(values: Sequence[int], standing: int) -> int:
    """The median of sorted values; of an even number the middle one that is nearer to what stands."""
    low, high = values[(len(values) - 1) // 2], values[len(values) // 2]
    return low if abs(low - standing) <= abs(high - standing) else high


def _median(counts: Sequence[tuple[int, int]], total: int, standing: int | None) -> int:
    """The same of (value, how often) pairs."""
    places, seen = ((total - 1) // 2, total // 2), 0
    found: list[int] = []
    for value, count in counts:
        seen += count
        while len(found) < 2 and seen > places[len(found)]:
            found.append(value)
        if len(found) == 2:
            break
    low, high = found
    return _middle((low, high), low if standing is None else standing)
