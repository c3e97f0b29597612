"""What a run begins with: baselines and levels from the history, windows and repeats from the run before."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from liqtape.engine.baseline.binstatistics import SLOT_MS
from liqtape.engine.levels.episodes import StreamState
from liqtape.engine.levels.returnperiods import StreamKey
from liqtape.engine.windows.coverage import Feed
from liqtape.events import Liquidation
from liqtape.pipeline.admission import Intake
from liqtape.pipeline.feedlives import FeedLives
from liqtape.pipeline.listener import Listeners

__all__ = ["WINDOW_MS", "Seeding"]

WINDOW_MS = 302_000
"""The largest window, and the two seconds an evaluation may be asked for in the past."""


class Seeding:
    """Gives a run what it begins with, in the order `baselines`, `recall`, `levels`, and tells the listeners.

    `know_again` gets the events that stand in windows again.
    """

    def __init__(
        self,
        intake: Intake,
        lives: FeedLives,
        listeners: Listeners,
        know_again: Callable[[Sequence[Liquidation]], None],
    ) -> None:
        self._intake = intake
        self._lives = lives
        self._earlier: dict[str, Feed] = {}
        self._engine = intake.engine
        self._listeners = listeners
        self._know_again = know_again

    def baselines(
        self,
        feeds: Sequence[tuple[str, int, int]],
        backfilled: Sequence[tuple[str, int, int]],
        counts: Sequence[tuple[int, str, str, int]],
    ) -> None:
        """Let baselines begin with this, as `BaselineSeed` has it."""
        for listener in self._listeners:
            listener.baselines_seeded(feeds, backfilled, counts)
        self._note_feeds(feeds)
        for venue, from_ms, until_ms in backfilled:
            self._engine.feed_backfilled(venue, from_ms, until_ms)
        self._engine.seed_baselines(counts)

    def recall(self, events: Sequence[Liquidation], feeds: Sequence[tuple[str, int, int]], our_ms: int) -> None:
        """Take back what an earlier run saw: (venue, up, down) of its feeds, and its events, by event time."""
        for listener in self._listeners:
            listener.recalled(events, feeds, our_ms)
        self._note_feeds(feeds)
        self._lives.recalled({venue: feed.ended for venue, feed in self._earlier.items()}, our_ms)
        since_ms = our_ms - WINDOW_MS - SLOT_MS  # so that no slot is missing between the seed and these
        clock = self._intake.clock
        clock.advance(our_ms)
        placed = self._intake.recall(events, since_ms, our_ms)
        # As the run before.
        self._engine.pass_over({event.instrument for event in placed}, clock.now_ms, clock.now_at)
        self.levels({})
        self._know_again(placed)

    def levels(self, states: Mapping[StreamKey, StreamState]) -> None:
        """Let the streams of the levels begin with these states; the feeds of `recall` are of the run before."""
        levels = self._engine.levels
        if levels is None:
            return
        if states:
            for listener in self._listeners:
                listener.levels_seeded(states)
        levels.restore(states)

    def begin_with(self, states: Mapping[StreamKey, StreamState]) -> bool:
        """Let the levels of streams that have learned nothing go on from these states; whether there are any."""
        levels = self._engine.levels
        if levels is None:
            return False
        streams = {key: stream for key, stream in levels.streams.items() if stream.histogram.days}
        known = {key: stream.histogram.state(stream.largest_usd) for key, stream in streams.items()}
        if states.keys() <= known.keys():
            return False
        self.levels({**states, **known})
        return True

    def _note_feeds(self, feeds: Iterable[tuple[str, int, int]]) -> None:
        for venue, up_ms, down_ms in feeds:
            self._engine.feed_up(venue, up_ms)
            self._engine.feed_down(venue, down_ms)
            feed = self._earlier.setdefault(venue, Feed())
            feed.up(up_ms)
            feed.down(down_ms)
