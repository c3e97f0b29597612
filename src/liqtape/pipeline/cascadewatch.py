"""From what a run hears to its cascades: the same for live, recordings, event files and the history."""

from collections.abc import Sequence

from liqtape.cascades.book import CascadeBook
from liqtape.cascades.cascade import Cascade
from liqtape.cascades.detector import StreamSignal
from liqtape.cascades.runningcascade import Rise
from liqtape.engine.levels.returnperiods import MARKET_KEY, StreamKey
from liqtape.engine.velocity import MARKET, VelocityEngine
from liqtape.events import LEVELS, Alert, Gap, Liquidation, PriceTick
from liqtape.pipeline.clock import EventClock
from liqtape.pipeline.listener import Listener
from liqtape.venues import VENUES
from liqtape.venues.base import is_partial

__all__ = ["LEVEL_DETECTORS", "CascadeWatch", "why_threshold"]

LEVEL_DETECTORS = {"return_period": "return_periods", "threshold": "threshold", "surprise": "surprise"}
"""The name of the detector that each rule of levels is, from WATCH on."""

_BY_USD = "return_periods"


class CascadeWatch(Listener):
    """Fills a book: a level that rises raises the detector of its rule, and so does each signal of another one.

    Without a `clock`, as of a file, stamps are taken as they are. `knows_gaps`: somebody says when feeds were up.
    """

    def __init__(self, engine: VelocityEngine, clock: EventClock | None = None, *, knows_gaps: bool = True) -> None:
        self._engine = engine
        self._clock = clock
        self._knows_gaps = knows_gaps
        self._partly = frozenset(name for name, venue in VENUES.items() if is_partial(venue))
        self.book = self._new_book()

    def restart(self) -> None:
        """Begin another book: a run begins."""
        self.book = self._new_book()

    def _new_book(self) -> CascadeBook:
        return CascadeBook((self._engine.throttled, self._partly), knows_gaps=self._knows_gaps)

    def accepted(self, events: Sequence[Liquidation], *, is_news: bool) -> None:  # noqa: ARG002 - repeats count, too
        """Take in liquidations."""
        self.book.add(events, None if self._clock is None else self._clock.shifts)

    def alert(self, alert: Alert) -> None:
        """Take in a level that changed."""
        if LEVELS.index(alert.level) <= LEVELS.index(alert.previous):
            return
        detector = LEVEL_DETECTORS.get(alert.rule, alert.rule)
        key = MARKET_KEY if alert.instrument == MARKET else StreamKey(None, alert.instrument)
        self.book.rise(
            Rise(
                key,
                detector,
                alert.at_ms,
                _why_level(alert),
                alert.level,
                self._usual_usd(key, alert.at_ms),
                detector != _BY_USD,
            )
        )

    def signal(self, signal: StreamSignal) -> None:
        """Take in a detector that was raised."""
        key, told = signal.key, signal.signal
        by_count = told.detector != _BY_USD and not told.detector.endswith("usd")
        usual = self._usual_usd(key, told.at_ms)
        self.book.rise(Rise(key, told.detector, told.at_ms, _why_signal(signal), None, usual, by_count))

    def gap(self, gap: Gap) -> None:
        """Take in a gap."""
        self.book.gap(gap)

    def price(self, tick: PriceTick) -> None:
        """Take in the price of BTC."""
        shift_ms = 0 if self._clock is None else self._clock.shift_ms(tick.venue)
        self.book.price(tick.event_ms - shift_ms, tick.price)

    def take_news(self) -> list[Cascade]:
        """Return what is new, to be told."""
        return self.book.take_news()

    def _usual_usd(self, key: StreamKey, now_ms: int) -> float | None:
        """Return the USD of the stream's mean watched minute."""
        levels = self._engine.levels
        if levels is None:
            return None
        times = levels.rarity(key, now_ms, 1.0).times_usual
        return 1.0 / times if times else None


def _why_level(alert: Alert) -> str:
    """Return in a sentence why a level rose."""
    what = "the market" if alert.instrument == MARKET else alert.instrument
    if alert.rule == "threshold":
        return why_threshold(what, alert.velocity_10s, alert.acceleration)
    told = f"{what}: {_usd(alert.usd_60s)} USD in {alert.count_60s} liquidations within 60 s is {alert.level}"
    if alert.rule == "surprise" and alert.surprise is not None:
        return f"{told}: surprise {alert.surprise:.1f}"
    if alert.return_days is None:
        return f"{told}: nothing to compare with yet"
    often = f"{told}: as much comes once in {_days(alert.return_days)}"
    return f"{often} (still learning: {_days(alert.watched_days or 0.0)} watched)" if alert.is_learning else often


def why_threshold(what: str, velocity_10s: float, acceleration: float) -> str:
    """Return in a sentence why the founding document's rule was raised."""
    rates = f"{velocity_10s:.2f} liquidations/s over 10 s, acceleration {acceleration:.2f}/s2"
    return f"{what}: {rates}, one of which is at its threshold"


def _why_signal(signal: StreamSignal) -> str:
    key, told = signal.key, signal.signal
    where = "the market" if key.instrument is None and key.venue is None else key.instrument or f"venue {key.venue}"
    at = f" at {key.venue}" if key.instrument is not None and key.venue is not None else ""
    return f"{where}{at}: {told.detector} reached {told.score:.4g}, its threshold is {told.threshold:.4g}"


def _usd(amount: float) -> str:
    return f"{amount:,.0f}"


def _days(days: float) -> str:
    return f"{days * 24:.1f} hours" if days < 1.0 else f"{days:.1f} days"
