"""Trades of the reference price to bars of one second."""

from liqtape.events import PriceTick
from liqtape.history.log.journal import PriceBarEntry

__all__ = ["PriceBars"]

_BAR_MS = 1_000


class PriceBars:
    """The bar being made; a trade of another second or source ends it.

    >>> bars = PriceBars()
    >>> [bars.add(PriceTick("bybit", "BTCUSDT", price, 1.0, at)) for price, at in ((5.0, 1_000), (7.0, 1_900))]
    [None, None]
    >>> bars.add(PriceTick("bybit", "BTCUSDT", 6.0, 1.0, 2_000))
    PriceBar(bar_ms=1000, open=5.0, high=7.0, low=5.0, close=7.0, volume=2.0, trades=2, source='bybit')
    """

    __slots__ = ("_bar_ms", "_close", "_high", "_low", "_open", "_source", "_trades", "_volume")

    def __init__(self) -> None:
        self._bar_ms = 0
        self._source = ""
        self._open = self._high = self._low = self._close = 0.0
        self._volume: float | None = None
        self._trades = 0

    def add(self, tick: PriceTick) -> PriceBarEntry | None:
        """Take a trade in; the bar it ended, if it ended one."""
        bar_ms = tick.event_ms - tick.event_ms % _BAR_MS
        price = tick.price
        if bar_ms == self._bar_ms and tick.venue == self._source:
            self._close = price
            if price > self._high:
                self._high = price
            elif price < self._low:
                self._low = price
            self._trades += 1
            if self._volume is not None:
                self._volume = None if tick.quantity is None else self._volume + tick.quantity
            return None
        ended = self.end()
        self._bar_ms, self._source, self._trades, self._volume = bar_ms, tick.venue, 1, tick.quantity
        self._open = self._high = self._low = self._close = price
        return ended

    def end(self) -> PriceBarEntry | None:
        """Return the bar as it is and begin a new one; None where no trade came."""
        if not self._trades:
            return None
        bar = PriceBarEntry(
            self._bar_ms, self._open, self._high, self._low, self._close, self._volume, self._trades, self._source
        )
        self._trades, self._bar_ms = 0, 0
        return bar
