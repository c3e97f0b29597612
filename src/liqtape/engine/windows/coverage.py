"""When a venue's feed was live: the intervals coverage is computed from."""

from collections.abc import Collection, Mapping, Sequence

from liqtape.engine.baseline.liveintervals import EVER_MS, LiveIntervals
from liqtape.engine.windows.eventcolumn import RETAIN_MS
from liqtape.events import WINDOWS

__all__ = ["Feed", "Feeds"]

_KEPT_MS = 2 * RETAIN_MS  # the feed's clock and the evaluation's need not be the same
_LEARNED_MS = 10 * 21_600_000  # ten half-lives of the baselines
_LIMIT = 1_000
_UNKNOWN = (None, None, None, None)
_WHOLE = (1.0, 1.0, 1.0, 1.0)


class Feed:
    """Live intervals of one venue's feed, oldest first; of those that ended `kept_ms` ago only the newest is kept.

    >>> feed = Feed(); feed.up(0); feed.down(5_000); feed.up(8_000)
    >>> feed.live_ms(0, 10_000)
    7000
    """

    __slots__ = ("ended", "kept_ms", "since")

    def __init__(self, kept_ms: int = _KEPT_MS) -> None:
        self.kept_ms = kept_ms
        self.since: int | None = None
        self.ended: list[tuple[int, int]] = []  # (up, down)

    @property
    def is_known(self) -> bool:
        """Whether the feed was ever live; before, its coverage is unknown."""
        return self.since is not None or bool(self.ended)

    def up(self, at_ms: int) -> None:
        """Note that the feed is live from `at_ms`; a second `up` changes nothing."""
        if self.since is None:
            # Never overlap what was already counted, whatever the caller's clock did.
            self.since = max(at_ms, self.ended[-1][1]) if self.ended else at_ms

    def up_again(self, told_ms: int, at_ms: int) -> None:
        """Let the feed be live from another moment on than it was told; one that was forgotten since is live again.

        Where something of that life was missed or filled since, its beginning is another one, which stays.

        >>> feed = Feed(); feed.up(0); feed.down(5_000); feed.up(8_000); feed.up_again(8_000, 9_000)
        >>> feed.live_ms(0, 10_000)
        6000
        """
        end_ms = self.ended[-1][1] if self.ended else told_ms
        if self.since is None or self.since == max(told_ms, end_ms):
            self.since = None
            self.up(at_ms)

    def down(self, at_ms: int) -> None:
        """Note that the feed was last seen live at `at_ms`; a second `down` changes nothing."""
        if self.since is not None:
            self.ended.append((self.since, max(at_ms, self.since)))
            self.since = None
            self.forget(at_ms - self.kept_ms)

    def missed(self, from_ms: int, until_ms: int) -> None:
        """Take out an interval in which the feed turned out not to have been live."""
        kept: list[tuple[int, int]] = []
        for up, down in self.spans():
            kept += [(up, min(down, from_ms)), (max(up, until_ms), down)]
        self._take([(up, down) for up, down in kept if up < down])

    def backfilled(self, from_ms: int, until_ms: int) -> None:
        """Put back an interval of which everything missed is known now, as if the feed had been live.

        >>> feed = Feed(); feed.up(0); feed.down(5_000); feed.up(8_000); feed.backfilled(5_000, 8_000)
        >>> feed.live_ms(0, 10_000)
        10000
        """
        merged: list[tuple[int, int]] = []
        for up, down in sorted([*self.spans(), (from_ms, until_ms)]):
            if merged and up <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(down, merged[-1][1]))
            else:
                merged.append((up, down))
        self._take(merged)

    def spans(self) -> list[tuple[int, int]]:
        """Return all intervals that are kept; one that lasts ends at `EVER_MS`."""
        return [*self.ended, *([] if self.since is None else [(self.since, EVER_MS)])]

    def _take(self, spans: list[tuple[int, int]]) -> None:
        self.ended = [span for span in spans if span[1] != EVER_MS]
        self.since = next((up for up, down in spans if down == EVER_MS), None)

    def covers(self, from_ms: int) -> bool:
        """Return whether the feed is live now and was without a break since `from_ms`."""
        return self.since is not None and self.since <= from_ms

    def live_ms(self, from_ms: int, until_ms: int) -> int:
        """Return the milliseconds of (from, until] in which the feed was live."""
        live = 0 if self.since is None else max(0, until_ms - max(self.since, from_ms))
        for up, down in self.ended:
            live += max(0, min(down, until_ms) - max(up, from_ms))
        return live

    def move(self, by_ms: int) -> None:
        """Make everything so far later by so much."""
        self.since = None if self.since is None else self.since + by_ms
        self.ended = [(up + by_ms, down + by_ms) for up, down in self.ended]

    def cut(self, after_ms: int) -> None:
        """Forget what lies later than that."""
        self._take(
            [(up, down if down == EVER_MS else min(down, after_ms)) for up, down in self.spans() if up < after_ms]
        )

    def forget(self, before_ms: int) -> None:
        """Drop intervals that ended before `before_ms`, and the oldest of more than 1,000."""
        while len(self.ended) > 1 and (self.ended[0][1] < before_ms or len(self.ended) > _LIMIT):
            del self.ended[0]


class Feeds:
    """The feeds of all venues: what of the windows was live, and what baselines may learn from."""

    __slots__ = (
        "_baseline_feeds",
        "_before_ms",
        "_begun_ms",
        "_feeds",
        "_incomplete",
        "_late",
        "_live_intervals",
        "_spoken",
    )

    def __init__(self) -> None:
        self._feeds: dict[str, Feed] = {}
        self._baseline_feeds: dict[str, Feed] = {}  # the same for days, less what was backfilled too late to be learned
        self._live_intervals: dict[tuple[frozenset[str], str | None], LiveIntervals] = {}
        self._late: dict[str, dict[str, int]] = {}  # by instrument: since when venues bring it, that did not at first
        self._incomplete: dict[str, int] = {}  # by venue: until when it offered more than its feed brought
        self._before_ms = -EVER_MS  # of an earlier run's feeds
        self._begun_ms: int | None = None
        self._spoken: set[str] = set()

    @property
    def venues(self) -> list[str]:
        """All of which something was said."""
        return list(self._feeds)

    def spoke(self, venue: str, at_ms: int) -> bool:
        """Take note that an event of the venue came; return whether it is the first of all venues.

        Event files and engines of one's own say nothing of feeds. For baselines somebody then watched every venue that
        spoke, from the first event of all on, until something is said of its feed:

            first event of all      the venue's first      feed_up
            |=========================================|     |=====      watched
                                                      known_until_ms
        """
        self._spoken.add(venue)
        if self._begun_ms is not None:
            return False
        self._begun_ms = at_ms
        self._live_intervals.clear()
        return True

    def up(self, venue: str, at_ms: int, known_until_ms: int) -> None:
        """Note that the venue's feed is live from `at_ms` on; until `known_until_ms` nothing was said of it."""
        feed, baseline_feed = self._both(venue)
        if not baseline_feed.is_known and venue in self._spoken and self._begun_ms is not None:
            baseline_feed.ended.append((self._begun_ms, known_until_ms))
        feed.up(at_ms)
        baseline_feed.up(at_ms)

    def up_again(self, venue: str, told_ms: int, at_ms: int) -> None:
        """Note that the venue's feed, which is live, is so from another moment on than was told."""
        for feed in self._both(venue):
            feed.up_again(told_ms, at_ms)

    def placed(self, venue: str, spans: Sequence[tuple[int, int]]) -> None:
        """Note when the venue's feed was live, instead of all that was told; what baselines have learned stays."""
        feed = self._feeds[venue] = Feed()
        for up_ms, down_ms in spans:
            feed.up(up_ms)
            feed.down(down_ms)

    def down(self, venue: str, at_ms: int) -> None:
        """Note that the venue's feed was last seen live at `at_ms`."""
        for feed in self._both(venue):
            feed.down(at_ms)

    def missed(self, venue: str, from_ms: int, until_ms: int) -> None:
        """Note that the venue's feed turned out not to have been live in between."""
        for feed in self._both(venue):
            feed.missed(from_ms, until_ms)

    def backfilled(self, venue: str, from_ms: int, until_ms: int, final_ms: int) -> None:
        """Note that all that was missed in between has been added; before `final_ms` too late for the baselines."""
        feed, baseline_feed = self._both(venue)
        feed.backfilled(from_ms, until_ms)
        if until_ms > final_ms:
            baseline_feed.backfilled(max(from_ms, final_ms), until_ms)

    def unsubscribed(self, venue: str, instruments: Collection[str], at_ms: int, *, is_listed: bool) -> None:
        """Note that the venue's feed brings all but these from `at_ms` on.

        Unless `is_listed` it may offer others, too.
        """
        for instrument, late in self._late.items():
            if late.get(venue) == EVER_MS and instrument not in instruments:
                late[venue] = at_ms
        for instrument in instruments:
            self._late.setdefault(instrument, {})[venue] = EVER_MS
        if instruments or not is_listed:
            self._incomplete[venue] = EVER_MS
        elif venue in self._incomplete:
            self._incomplete[venue] = min(self._incomplete[venue], at_ms)
        self._live_intervals.clear()

    def is_incomplete(self, venues: Collection[str], from_ms: int) -> bool:
        """Return whether one of them, since `from_ms`, offered instruments that its feed did not bring."""
        return any(self._incomplete.get(venue, from_ms) > from_ms for venue in venues)

    def move(self, by_ms: int, by_venue: Mapping[str, int]) -> None:
        """Make time later by so much than it was taken for, and each venue's feed by as much as `by_venue` says."""
        for feeds in (self._feeds, self._baseline_feeds):
            for venue, feed in feeds.items():
                feed.move(by_venue.get(venue, 0))
        for late in self._late.values():
            for venue, at_ms in late.items():
                late[venue] = at_ms if at_ms == EVER_MS else at_ms + by_venue.get(venue, 0)
        for venue, at_ms in self._incomplete.items():
            self._incomplete[venue] = at_ms if at_ms == EVER_MS else at_ms + by_venue.get(venue, 0)
        self._before_ms = self._before_ms if self._before_ms == -EVER_MS else self._before_ms + by_ms
        self._begun_ms = None if self._begun_ms is None else self._begun_ms + by_ms
        self._live_intervals.clear()

    def cut(self, after_ms: int) -> None:
        """Forget that feeds were live later than that."""
        for feed in (*self._feeds.values(), *self._baseline_feeds.values()):
            feed.cut(after_ms)
        for late in (*self._late.values(), self._incomplete):
            for key, at_ms in late.items():
                late[key] = at_ms if at_ms == EVER_MS else min(at_ms, after_ms)
        self._before_ms = min(self._before_ms, after_ms)
        self._live_intervals.clear()

    def begin_run(self) -> None:
        """Take all that was said so far for an earlier run's: what this one brings late was not missing there."""
        ends = [down for feed in self._baseline_feeds.values() for _, down in feed.ended]
        self._before_ms = max(ends, default=-EVER_MS)
        self._live_intervals.clear()

    def add_venue(self, venue: str) -> None:
        """Count the venue among ours, even if its feed was never live."""
        self._feeds.setdefault(venue, Feed())

    def live_ms_of(
        self,
        venues: Collection[str],
        seconds: int,
        now_ms: int,
        instrument: str | None = None,
        at: Mapping[str, int] | None = None,
    ) -> list[int]:
        """Return the live milliseconds of the window, a feed each; empty when nothing is known of any."""
        feeds = self._of(venues)
        if not any(feed.is_known for feed in feeds.values()):
            return []
        width_ms, late = 1000 * seconds, self._late.get(instrument or "", {})
        live_times = []
        for venue, feed in feeds.items():
            until_ms = now_ms if at is None else at.get(venue, now_ms)
            from_ms = until_ms - width_ms
            live_times.append(feed.live_ms(max(from_ms, late.get(venue, from_ms)), until_ms))
        return live_times

    def coverage(
        self,
        venues: Collection[str],
        now_ms: int,
        instrument: str | None = None,
        at: Mapping[str, int] | None = None,
    ) -> Sequence[float | None]:
        """Return the least of the venues' coverages, for each window.

        An instrument's begins when its own topic was confirmed.
        """
        feeds = self._of(venues)
        if not any(feed.is_known for feed in feeds.values()):
            return _UNKNOWN
        if instrument not in self._late:
            largest_ms = 1000 * WINDOWS[-1]
            if at is None:
                is_whole = all(feed.covers(now_ms - largest_ms) for feed in feeds.values())
            else:
                is_whole = all(feed.covers(at.get(venue, now_ms) - largest_ms) for venue, feed in feeds.items())
            if is_whole:
                return _WHOLE
        live_times = (self.live_ms_of(venues, seconds, now_ms, instrument, at) for seconds in WINDOWS)
        return [min(found) / (1000 * seconds) for found, seconds in zip(live_times, WINDOWS, strict=True)]

    def live_intervals(self, venues: Collection[str], instrument: str | None = None) -> LiveIntervals:
        """Return when at least one of them was live; where nothing is known of any, since the first event."""
        known = frozenset(
            venue for venue in venues if venue in self._baseline_feeds and self._baseline_feeds[venue].is_known
        )
        late = self._late.get(instrument or "", {})
        key = known, instrument if late else None
        intervals = self._live_intervals.get(key)
        if intervals is None:
            before_ms, live = self._before_ms, []
            for venue in known:
                for up, down in self._baseline_feeds[venue].spans():
                    own = max(up, before_ms, late.get(venue, up))
                    live += [(up, min(down, before_ms)), (own, down)]
            if not known and self._begun_ms is not None:
                live = [(self._begun_ms, EVER_MS)]
            intervals = self._live_intervals[key] = LiveIntervals(live, is_known=bool(known))
        return intervals

    def _both(self, venue: str) -> tuple[Feed, Feed]:
        """Return both feeds of the venue, to be changed."""
        self._live_intervals.clear()
        return self._feeds.setdefault(venue, Feed()), self._baseline_feeds.setdefault(venue, Feed(_LEARNED_MS))

    def _of(self, venues: Collection[str]) -> dict[str, Feed]:
        return {venue: self._feeds[venue] for venue in venues if venue in self._feeds}
