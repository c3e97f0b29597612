"""The chosen detectors of all streams: instruments over their venues, venues, the market.

    event ──▶ BTCUSDT ──▶ cusum, hawkes ──▶ signals
         ├──▶ bybit   ──▶ cusum, hawkes ──▶
         └──▶ market  ──▶ cusum, hawkes ──▶

The default detector is not among them in a running service: there the levels of the engine have looked already, and
are listened to.
"""

from collections.abc import Collection, Iterator, Sequence

from liqtape.cascades.choice import CascadeSettings, detector_of
from liqtape.cascades.detector import Detector, StreamCalm, StreamSignal
from liqtape.engine.levels.returnperiods import MARKET_KEY, StreamKey
from liqtape.events import Liquidation

__all__ = ["DetectorBank"]

MOST_STREAMS = 4_000


class DetectorBank:
    """Hands each event to the detectors of its three streams, and remembers which are raised.

    A stream is watched while at least one of its venues is up; of a venue of which nothing was ever told, from its
    first event on. Of more than `most` streams the later ones are left out, and their events counted in
    `left_out_total`.

    >>> bank = DetectorBank(CascadeSettings(velocity_10s=1.0), ["threshold"])
    >>> def of(at_ms: int) -> Liquidation:
    ...     return Liquidation("bybit", "BTCUSDT", "BTCUSDT", "long", 80_000.0, "fill", None, 8.0, at_ms)
    >>> signals = [signal for i in range(10) for signal in bank.update(of(10_000 + 100 * i))]
    >>> [(signal.key.venue, signal.key.instrument) for signal in signals]
    [(None, 'BTCUSDT'), ('bybit', None), (None, None)]
    >>> [len(bank.calmed(at_ms)) for at_ms in (300_000, 311_000, 312_000)]
    [0, 3, 0]
    """

    def __init__(self, settings: CascadeSettings, names: Collection[str], most: int = MOST_STREAMS) -> None:
        self.left_out_total = 0
        self._settings = settings
        self._names = tuple(names)
        self._most = most
        self._streams: dict[StreamKey, tuple[Detector, ...]] = {}
        self._raised: dict[tuple[StreamKey, str], tuple[Detector, int]] = {}  # since when
        self._ended: list[StreamCalm] = []  # by `down`, not told yet
        self._up: dict[str, bool] = {}  # by venue, once anything was told
        self._venues_of: dict[str, set[str]] = {}  # by instrument

    def __len__(self) -> int:
        return len(self._streams)

    def update(self, event: Liquidation) -> Sequence[StreamSignal]:
        """Take in an event; return the signals of its streams."""
        venue, instrument = event.venue, event.instrument
        if venue not in self._up:
            self.up(venue, event.event_ms)
        if venue not in self._venues_of.setdefault(instrument, set()):
            self._venues_of[instrument].add(venue)
        signals: list[StreamSignal] = []
        for key in (StreamKey(None, instrument), StreamKey(venue, None), MARKET_KEY):
            detectors = self._streams.get(key)
            if detectors is None:
                detectors = self._new(key, event.event_ms)
            for detector in detectors:
                signal = detector.update(event)
                if signal is not None:
                    self._note(key, detector, signal.at_ms)
                    signals.append(StreamSignal(key, signal))
        return signals

    def calmed(self, now_ms: int) -> Sequence[StreamCalm]:
        """Return the detectors that have come down since the last call; once a second. O(raised)."""
        ended, self._ended = self._ended, []
        for (key, name), (detector, since_ms) in list(self._raised.items()):
            if not detector.at(now_ms).is_raised:
                del self._raised[key, name]
                ended.append(StreamCalm(key, name, since_ms, now_ms))
        return ended

    def up(self, venue: str, at_ms: int) -> None:
        """Note that the venue is watched from then on."""
        self._up[venue] = True
        for key, detectors in self._of_venue(venue):
            if key.venue is not None or self._is_watched(key):
                for detector in detectors:
                    detector.up(at_ms)

    def down(self, venue: str, at_ms: int) -> None:
        """Note that nobody watches the venue from then on."""
        self._up[venue] = False
        for key, detectors in self._of_venue(venue):
            if key.venue is not None or not self._is_watched(key):
                for detector in detectors:
                    detector.down(at_ms)
                    self._end(key, detector, at_ms)

    def detectors(self) -> Iterator[tuple[StreamKey, Detector]]:
        """Yield every detector with its stream."""
        for key, detectors in self._streams.items():
            for detector in detectors:
                yield key, detector

    def _new(self, key: StreamKey, at_ms: int) -> tuple[Detector, ...]:
        if len(self._streams) >= self._most:
            self.left_out_total += 1
            return ()
        detectors = tuple(detector_of(name, key, self._settings) for name in self._names)
        self._streams[key] = detectors
        for detector in detectors:
            detector.up(at_ms)
        return detectors

    def _note(self, key: StreamKey, detector: Detector, at_ms: int) -> None:
        """Note that it is raised; where it was before, nobody has asked since that was over."""
        self._end(key, detector, at_ms)
        self._raised[key, detector.name] = detector, at_ms

    def _end(self, key: StreamKey, detector: Detector, at_ms: int) -> None:
        before = self._raised.pop((key, detector.name), None)
        if before is not None:
            self._ended.append(StreamCalm(key, detector.name, before[1], at_ms))

    def _of_venue(self, venue: str) -> Iterator[tuple[StreamKey, tuple[Detector, ...]]]:
        for key, detectors in self._streams.items():
            if key.venue == venue or (
                key.venue is None and (key.instrument is None or venue in self._venues_of.get(key.instrument, ()))
            ):
                yield key, detectors

    def _is_watched(self, key: StreamKey) -> bool:
        """Return whether a venue of a stream over venues is up."""
        venues = self._up if key.instrument is None else self._venues_of.get(key.instrument, ())
        return any(self._up.get(venue, False) for venue in venues)
