"""From what a run hears to its cascades: the same for live, recordings, event files and the history."""

from collections.abc import Sequence

from liqtape.cascades.book import CascadeBook
from liqtape.cascades.cascade import Cascade
from liqtape.cascades.choice import DEFAULT_DETECTOR, CascadeSettings
from liqtape.cascades.detector import StreamSignal
from liqtape.cascades.runningcascade import Rise
from liqtape.engine.levels.returnperiods import MARKET_KEY, StreamKey
from liqtape.engine.velocity import MARKET, VelocityEngine
from liqtape.events import LEVELS, Alert, Gap, Liquidation, PriceTick
from liqtape.pipeline.clock import EventClock
from liqtape.pipeline.listener import Listener
from liqtape.venues import VENUES
from liqtape.venues.base import is_partial

__all__ = ["CascadeWatch", "follows_levels", "why_threshold"]


def follows_levels(engine: VelocityEngine, settings: CascadeSettings) -> bool:
    """Return whether the levels of the engine are the default detector: they decide by return period, of both sides."""
    return DEFAULT_DETECTOR in settings.detectors and engine.levels is not None and settings.side == "both"


class CascadeWatch(Listener):
    """Fills a book: by the levels of instruments and the market, which are the default detector, and by signals.

    Signals of the default one are passed over where levels are followed: they say the same, and say it of more streams.
    Without a `clock`, as of a file, stamps are taken as they are. `knows_gaps`: somebody says when feeds were up.
    """

    def __init__(
        self,
        engine: VelocityEngine,
        clock: EventClock | None = None,
        settings: CascadeSettings | None = None,
        *,
        knows_gaps: bool = True,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._settings = CascadeSettings() if settings is None else settings
        self._follows_levels = follows_levels(engine, self._settings)
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
        order = LEVELS.index(alert.level)
        least = LEVELS.index(self._settings.level)
        if not self._follows_levels or order < least or order <= LEVELS.index(alert.previous):
            return
        key = MARKET_KEY if alert.instrument == MARKET else StreamKey(None, alert.instrument)
        self.book.rise(
            Rise(
                key,
                DEFAULT_DETECTOR,
                alert.at_ms,
                _why_level(alert),
                alert.level,
                self._usual_usd(key, alert.at_ms),
            )
        )

    def signal(self, signal: StreamSignal) -> None:
        """Take in a detector that was raised."""
        key, told = signal.key, signal.signal
        if told.detector == DEFAULT_DETECTOR and self._follows_levels:
            return
        by_count = told.detector != DEFAULT_DETECTOR and self._settings.by != "usd"
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
    told = f"{what}: {_usd(alert.usd_60s)} USD in {alert.count_60s} liquidations within 60 s is {alert.level}"
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
