"""The BTC price: which trades are it, and what the engine and the listeners are told of it."""

from collections.abc import Iterable

from msgspec.structs import replace

from liqtape.engine.price.pricevolatility import PriceVolatility
from liqtape.engine.price.selector import SILENCE_SECONDS, PriceSelector
from liqtape.engine.velocity import VelocityEngine
from liqtape.events import Event, PriceTick
from liqtape.pipeline.clock import AHEAD_MS, EventClock
from liqtape.pipeline.listener import Listeners
from liqtape.pipeline.pricesources import PriceSource

__all__ = ["BtcPrice", "PriceChoice", "ticks_of"]

_STALE_SECONDS = 60.0
_FAR_MS = 7_200_000  # from our time: a stamp further off than that is made up, and no clock is off by as much


class PriceChoice:
    """Says of each trade whether it is the price; times are seconds of our own.

    Trades older than the price, as some venues repeat them at subscribe, neither become it nor count as a sign of life.
    """

    def __init__(self, sources: Iterable[PriceSource], now: float) -> None:
        self._symbols = {source.name: source.symbol for source in sources}
        self.selector = PriceSelector(list(self._symbols), now)
        self._newest_ms: dict[str, int] = {}  # by source
        self._price_ms = 0
        self._taken_at = now

    def is_stale(self, now: float) -> bool:
        """Return whether no source has had a price for a minute."""
        return now - self._taken_at >= _STALE_SECONDS

    def takes(self, tick: PriceTick, now: float) -> bool:
        """Return whether the trade is the price from now on; its source is the venue it names."""
        if self._symbols.get(tick.venue) != tick.symbol or self._is_old(tick, now):
            return False
        # A stamp of the future must not outlive its trade.
        stamp = tick.event_ms if tick.receive_ms is None else min(tick.event_ms, tick.receive_ms)
        self._newest_ms[tick.venue] = stamp
        if not self.selector.takes(tick.venue, now):
            return False
        self._price_ms, self._taken_at = stamp, now
        return True

    def _is_old(self, tick: PriceTick, now: float) -> bool:
        if tick.event_ms < self._newest_ms.get(tick.venue, 0):
            return True
        # Two sources that live differ by their lags; one that stands in must bring what is news.
        allowed_ms = 0 if self.selector.is_silent(now) else round(1000 * SILENCE_SECONDS)
        return tick.event_ms < self._price_ms - allowed_ms


class BtcPrice:
    """Takes trades as they come, and lets the engine know the price and how volatile it is."""

    def __init__(self, engine: VelocityEngine, clock: EventClock, listeners: Listeners, choice: PriceChoice) -> None:
        self.choice = choice
        self.volatility = PriceVolatility()
        self._engine = engine
        self._clock = clock
        self._listeners = listeners
        self._priced_ms = 0

    def offer(self, ticks: Iterable[PriceTick], our_ms: int) -> None:
        """Take the trades that are the price, at our time."""
        now = our_ms / 1000
        for tick in ticks:
            if self.choice.takes(tick, now):
                self.take(tick)

    def take(self, tick: PriceTick) -> None:
        """Let this be the price."""
        engine, clock = self._engine, self._clock
        if engine.btc_source not in {None, tick.venue}:
            self.volatility.switched()  # prices of two sources are not compared
        engine.btc_price, engine.btc_source = tick.price, tick.venue
        at_ms = tick.event_ms - clock.shift_ms(tick.venue)
        # Else of a clock that just stepped, or made up: each second up to its stamp is work to do.
        most_ms = AHEAD_MS if clock.is_started else _FAR_MS
        if tick.receive_ms is None or -_FAR_MS <= at_ms - clock.t_ms(tick.receive_ms) <= most_ms:
            self.volatility.add(tick.price, at_ms)
            self._priced_ms = at_ms
        for price in self._listeners.on_price:
            price(tick)

    def drop_stale(self, our_ms: int) -> None:
        """Let there be no price where none came for a minute."""
        if self.choice.is_stale(our_ms / 1000):
            self._engine.btc_price = self._engine.btc_source = None

    def measure(self) -> None:
        """Let the engine know the volatility: by the trades' own time, in which a second ends behind a trade."""
        if self._priced_ms:
            self._engine.volatility_factor = self.volatility.volatility_factor(self._priced_ms)
            self._engine.volatility_coverage = self.volatility.long_coverage(self._priced_ms)


def ticks_of(events: Iterable[Event], source: str) -> list[PriceTick]:
    """Return the trades among what a connection of that source brought; they bear its name."""
    return [replace(event, venue=source) for event in events if isinstance(event, PriceTick)]
