"""Who hears what a run does: recorder, log, publishers, the monitor and functions of the user's, all in one list."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial

from msgspec import Struct

from liqtape.cascades.cascade import Cascade
from liqtape.cascades.detector import StreamCalm, StreamSignal
from liqtape.cascades.hawkesdetector import StreamFit
from liqtape.engine.levels.episodes import StreamState
from liqtape.engine.levels.returnperiods import StreamKey
from liqtape.events import Alert, Gap, Liquidation, PriceTick, Trouble, VenueHealth
from liqtape.instruments import Contract, Separation
from liqtape.venues.base import BackfillRequest

__all__ = ["Listener", "Listeners", "Pulse"]


class Pulse(Struct, frozen=True):
    """What a second left behind.

    `active` are the instruments with an event in their largest window, and those whose last one has just left it.
    `services` is the health of what is no venue. `known_until_ms` is, by venue and in its time, where its gap would
    begin if the process were killed now; up to `alive_ms` of the common time every event reached the listeners.
    """

    our_ms: int
    now_ms: int
    alive_ms: int
    active: Collection[str] = ()
    health: Sequence[VenueHealth] = ()
    services: Sequence[VenueHealth] = ()
    known_until_ms: Mapping[str, int] = {}


class Listener:
    """Hears everything and does nothing about it; a subclass overrides what concerns it.

    Calls are plain and come in the order things happen in. A listener neither waits nor raises.
    """

    __slots__ = ()

    # What comes out.

    def accepted(self, events: Sequence[Liquidation], *, is_news: bool) -> None:
        """Hear of liquidations that are in the windows now; a venue repeated them from the past unless `is_news`."""

    def alert(self, alert: Alert) -> None:
        """Hear of a level that changed."""

    def signal(self, signal: StreamSignal) -> None:
        """Hear that a detector is raised that was quiet."""

    def calm(self, calm: StreamCalm) -> None:
        """Hear that a raised detector has come down."""

    def cascade(self, cascade: Cascade) -> None:
        """Hear of a cascade when it opens, grows (every 10 s at most), ends, and when an hour has passed since."""

    def refitted(self, fit: StreamFit) -> None:
        """Hear with which fit the Hawkes detector of a stream goes on."""

    def price(self, tick: PriceTick) -> None:
        """Hear of a trade that is the reference price now."""

    def gap(self, gap: Gap) -> None:
        """Hear of a gap when it begins (`until_ms` None), when it ends, and when it is backfilled."""

    def trouble(self, trouble: Trouble) -> None:
        """Hear of something a person must look at."""

    def separated(self, separation: Separation) -> None:
        """Hear of a multiplier contract that proved to be another asset than its name says."""

    def forgotten(self, instruments: Collection[str]) -> None:
        """Hear of instruments that no list names and that made way for others."""

    def unsized(self, venue: str, symbol: str) -> None:
        """Hear of an event whose contract is of unknown size."""

    # How time passes.

    def tick(self, our_ms: int) -> None:
        """Hear that a second passes, before anything is done about it."""

    def pulse(self, pulse: Pulse) -> None:
        """Hear what was done about a second."""

    # What the feeds say, at `our_ms` of our own time.

    def feed_up(self, venue: str, at_ms: int, our_ms: int) -> None:
        """Hear that a venue is live since `at_ms` of its clock."""

    def feed_down(self, venue: str, known_until_ms: int, reason: str, our_ms: int) -> None:
        """Hear that what a venue sends is known no further than that."""

    def feed_missed(self, venue: str, from_ms: int, until_ms: int, reason: str, our_ms: int) -> None:
        """Hear that a venue turned out not to have been live in between."""

    def feed_refused(self, venue: str, at_ms: int, reason: str, our_ms: int) -> None:
        """Hear what a living feed is refused since then; without a reason nothing any more."""

    def feed_unsubscribed(
        self, venue: str, at_ms: int, instruments: Sequence[str], *, is_listed: bool, our_ms: int
    ) -> None:
        """Hear which listed instruments no connection brings since then."""

    def gap_backfilled(self, gap: Gap, our_ms: int) -> None:
        """Hear that all of a gap was got afterwards."""

    def listed(self, venue: str, contracts: Sequence[Contract], *, is_whole: bool) -> None:
        """Hear of a venue's list of instruments, or of as much of it as could be had."""

    def answered(self, venue: str, request: BackfillRequest, payload: bytes, receive_ms: int) -> None:
        """Hear what a venue answered when it was asked for past liquidations."""

    # What follows for coverage, which is known by venue; moments are those of the venue's clock.

    def covered(self, venue: str, at_ms: int) -> None:
        """Hear that the coverage of a venue begins."""

    def uncovered(self, venue: str, at_ms: int) -> None:
        """Hear that the coverage of a venue ends."""

    def missed(self, venue: str, from_ms: int, until_ms: int) -> None:
        """Hear that there was no coverage of a venue in between."""

    # What a run begins with.

    def recalled(self, events: Sequence[Liquidation], feeds: Sequence[tuple[str, int, int]], our_ms: int) -> None:
        """Hear what is taken over from the run before."""

    def baselines_seeded(
        self,
        feeds: Sequence[tuple[str, int, int]],
        backfilled: Sequence[tuple[str, int, int]],
        counts: Sequence[tuple[int, str, str, int]],
    ) -> None:
        """Hear what baselines begin with."""

    def levels_seeded(self, states: Mapping[StreamKey, StreamState]) -> None:
        """Hear what levels begin with."""


class Listeners:
    """The listeners in the order they are called in.

    Of what comes with every frame only those are called who override it: a call that does nothing costs as much as a
    tenth of the windows. `on_accepted`, `on_price` and `on_alert` are these calls; one that is under way is not changed
    by who comes or goes meanwhile.
    """

    def __init__(self) -> None:
        self._all: tuple[Listener, ...] = ()
        self._arrange()

    def __iter__(self) -> Iterator[Listener]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def add(self, listener: Listener) -> None:
        """Let it hear everything from now on, after the others."""
        self._all = (*self._all, listener)
        self._arrange()

    def remove(self, listener: Listener) -> None:
        """Let it hear nothing more."""
        self._all = tuple(one for one in self._all if one is not listener)
        self._arrange()

    def join(self, listener: Listener) -> Callable[[], None]:
        """Let it hear everything until the function that is returned is called."""
        self.add(listener)
        return partial(self.remove, listener)

    def _arrange(self) -> None:
        self.on_accepted = tuple(one.accepted for one in self if type(one).accepted is not Listener.accepted)
        self.on_price = tuple(one.price for one in self if type(one).price is not Listener.price)
        self.on_alert = tuple(one.alert for one in self if type(one).alert is not Listener.alert)
