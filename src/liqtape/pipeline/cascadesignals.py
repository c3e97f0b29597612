"""What the detectors say of a run, live and replayed: signals, and when what was raised has come down."""

from collections.abc import Iterator, Sequence
from math import inf

from msgspec.structs import replace

from liqtape.cascades.bank import DetectorBank
from liqtape.cascades.choice import DEFAULT_DETECTOR, CascadeSettings
from liqtape.cascades.detector import Signal, StreamCalm, StreamSignal
from liqtape.cascades.hawkesdetector import HawkesDetector, StreamFit
from liqtape.engine.levels.returnperiods import STREAM_LEVELS, Raise, StreamKey
from liqtape.engine.velocity import VelocityEngine
from liqtape.events import Alert, Liquidation, Side
from liqtape.pipeline.cascadewatch import follows_levels
from liqtape.pipeline.clock import EventClock
from liqtape.pipeline.listener import Listener, Listeners

__all__ = ["CascadeSignals", "DetectedSignals", "signals_of"]


class CascadeSignals(Listener):
    """Tells the listeners of signals by return period. It costs nothing: the engine's levels are that detector already.

    Every stream has its signals: an instrument at a venue and the breadth, too.
    """

    def __init__(
        self, engine: VelocityEngine, clock: EventClock, listeners: Listeners, settings: CascadeSettings
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._listeners = listeners
        self._step = STREAM_LEVELS.index(settings.level)
        self._follows = follows_levels(engine, settings)
        self._raised: dict[StreamKey, tuple[int, int]] = {}  # since when, and due when

    def alert(self, alert: Alert) -> None:
        """A level changed, so that some stream was raised or has come down: look which."""
        if self._follows:
            self._follow(alert.at_ms)

    def tick(self, our_ms: int) -> None:
        """Tell what has come down."""
        if self._follows:
            self._follow(self._clock.t_ms(our_ms))

    def fitted_streams(self) -> Iterator[tuple[StreamKey, HawkesDetector]]:
        """Yield the Hawkes detectors of all streams: by default there is none."""
        return iter(())

    def adopt(self, fit: StreamFit) -> None:
        """Let the Hawkes detector of a stream go on with a fit, and tell so that a replay does the same."""
        for key, detector in self.fitted_streams():
            if key == fit.key and detector.adopt(fit.parameters, fit.at_ms, fit.mean_weight):
                for listener in self._listeners:
                    listener.refitted(fit)

    def tell(self, signal: StreamSignal) -> None:
        """Tell every listener."""
        for listener in self._listeners:
            listener.signal(signal)

    def tell_calm(self, calm: StreamCalm) -> None:
        """Tell every listener."""
        for listener in self._listeners:
            listener.calm(calm)

    def _follow(self, now_ms: int) -> None:
        """Make signals of the raises since the last time, and see which episodes are over."""
        levels = self._engine.levels
        if levels is None:
            return
        for key, (since_ms, due_ms) in list(self._raised.items()):
            stream = levels.streams[key]
            if stream.is_open and stream.top >= self._step:
                self._raised[key] = since_ms, int(stream.due_ms)
            else:
                del self._raised[key]
                self.tell_calm(StreamCalm(key, DEFAULT_DETECTOR, since_ms, min(now_ms, due_ms)))
        for one in levels.take_raises():
            if one.above < self._step <= one.step:
                self._follow_raise(one)

    def _follow_raise(self, one: Raise) -> None:
        levels = self._engine.levels
        if levels is None:
            return
        stream = levels.streams[one.key]
        before = self._raised.pop(one.key, None)
        if before is not None:  # its episode ended, and the next one rose, within a second
            self.tell_calm(StreamCalm(one.key, DEFAULT_DETECTOR, before[0], min(one.at_ms, before[1])))
        self._raised[one.key] = one.at_ms, one.at_ms if stream.due_ms == inf else int(stream.due_ms)
        long, short = self._engine.sides(one.key, self._clock.now_ms, self._clock.now_at)
        side: Side | None = None if long == short else "long" if long > short else "short"
        threshold = stream.thresholds[self._step - 1]
        self.tell(StreamSignal(one.key, Signal(DEFAULT_DETECTOR, one.at_ms, one.usd_60s, threshold, side)))


class DetectedSignals(CascadeSignals):
    """The same, and the signals of detectors that look themselves: each event is handed to them."""

    def __init__(
        self, engine: VelocityEngine, clock: EventClock, listeners: Listeners, settings: CascadeSettings
    ) -> None:
        super().__init__(engine, clock, listeners, settings)
        names = [name for name in settings.detectors if name != DEFAULT_DETECTOR or not self._follows]
        self.bank = DetectorBank(settings, names)

    def fitted_streams(self) -> Iterator[tuple[StreamKey, HawkesDetector]]:
        for key, detector in self.bank.detectors():
            if isinstance(detector, HawkesDetector):
                yield key, detector

    def accepted(self, events: Sequence[Liquidation], *, is_news: bool) -> None:
        """Hand events on, at their times in the windows; what a venue repeats from the past is none."""
        if not is_news:
            return
        for event in events:
            shift_ms = self._clock.shift_ms(event.venue)
            at_their_time = replace(event, event_ms=event.event_ms - shift_ms) if shift_ms else event
            for signal in self.bank.update(at_their_time):
                self.tell(signal)

    def tick(self, our_ms: int) -> None:
        super().tick(our_ms)
        for calm in self.bank.calmed(self._clock.t_ms(our_ms)):
            self.tell_calm(calm)

    def covered(self, venue: str, at_ms: int) -> None:
        self.bank.up(venue, at_ms)

    def uncovered(self, venue: str, at_ms: int) -> None:
        self.bank.down(venue, at_ms)

    def missed(self, venue: str, from_ms: int, until_ms: int) -> None:
        self.bank.down(venue, from_ms)
        self.bank.up(venue, until_ms)


def signals_of(
    engine: VelocityEngine, clock: EventClock, listeners: Listeners, settings: CascadeSettings
) -> CascadeSignals:
    """Return what tells of the signals of these settings; it hears each event only where a detector needs that."""
    alone = all(name == DEFAULT_DETECTOR and follows_levels(engine, settings) for name in settings.detectors)
    return (CascadeSignals if alone else DetectedSignals)(engine, clock, listeners, settings)
