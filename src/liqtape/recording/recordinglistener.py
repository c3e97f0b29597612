"""What a recording holds besides frames, as it is heard: a record each, in its place among the frames."""

from collections.abc import Mapping, Sequence

from liqtape.cascades.hawkesdetector import StreamFit
from liqtape.engine.levels.episodes import StreamState
from liqtape.engine.levels.returnperiods import StreamKey
from liqtape.events import Gap, Liquidation
from liqtape.instruments import Contract
from liqtape.pipeline.listener import Listener
from liqtape.recording.recorder import Recorder
from liqtape.recording.records import (
    BackfillAnswer,
    FeedDown,
    FeedMissed,
    FeedUp,
    GapBackfilled,
    ListingLoaded,
    Refitted,
    Refused,
    Tick,
    Unsubscribed,
    level_seed_parts,
    recalled_parts,
    seed_parts,
)
from liqtape.venues.base import BackfillRequest

__all__ = ["RecordingListener"]


class RecordingListener(Listener):
    """Hands everything that a replay has to be told to a recorder."""

    def __init__(self, recorder: Recorder) -> None:
        self._record = recorder.record

    def tick(self, our_ms: int) -> None:
        """Record that a second passes."""
        self._record(Tick(our_ms))

    def feed_up(self, venue: str, at_ms: int, our_ms: int) -> None:
        """Record it."""
        self._record(FeedUp(venue, at_ms, our_ms))

    def feed_down(self, venue: str, known_until_ms: int, reason: str, our_ms: int) -> None:
        """Record it."""
        self._record(FeedDown(venue, known_until_ms, reason, our_ms))

    def feed_missed(self, venue: str, from_ms: int, until_ms: int, reason: str, our_ms: int) -> None:
        """Record it."""
        self._record(FeedMissed(venue, from_ms, until_ms, reason, our_ms))

    def feed_refused(self, venue: str, at_ms: int, reason: str, our_ms: int) -> None:
        """Record it."""
        self._record(Refused(venue, at_ms, reason, our_ms))

    def feed_unsubscribed(
        self, venue: str, at_ms: int, instruments: Sequence[str], *, is_listed: bool, our_ms: int
    ) -> None:
        """Record it."""
        self._record(Unsubscribed(venue, at_ms, instruments, is_listed, our_ms))

    def gap_backfilled(self, gap: Gap, our_ms: int) -> None:
        """Record it."""
        self._record(GapBackfilled(gap, our_ms))

    def refitted(self, fit: StreamFit) -> None:
        """Record it: a fit comes from another process, whenever that is done."""
        self._record(Refitted(fit))

    def listed(self, venue: str, contracts: Sequence[Contract], *, is_whole: bool) -> None:
        """Record what sizes mean from here on."""
        self._record(ListingLoaded(venue, contracts, is_whole))

    def answered(self, venue: str, request: BackfillRequest, payload: bytes, receive_ms: int) -> None:
        """Record the answer as it came."""
        self._record(BackfillAnswer(venue, request, payload, receive_ms))

    def recalled(self, events: Sequence[Liquidation], feeds: Sequence[tuple[str, int, int]], our_ms: int) -> None:
        """Record what was taken over from the run before."""
        for record in recalled_parts(events, feeds, our_ms):
            self._record(record)

    def baselines_seeded(
        self,
        feeds: Sequence[tuple[str, int, int]],
        backfilled: Sequence[tuple[str, int, int]],
        counts: Sequence[tuple[int, str, str, int]],
    ) -> None:
        """Record what baselines began with."""
        for record in seed_parts(feeds, backfilled, counts):
            self._record(record)

    def levels_seeded(self, states: Mapping[StreamKey, StreamState]) -> None:
        """Record what levels began with."""
        for record in level_seed_parts([(*key, state) for key, state in states.items()]):
            self._record(record)
