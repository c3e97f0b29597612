"""One window of one instrument, with its rates and standard errors. Metrics definition section 1."""

from math import sqrt

from msgspec import Struct

from liqtape.money import MICRO

__all__ = ["Totals", "Window"]


class Totals(Struct, frozen=True, gc=False):
    """The windows of 10, 30, 60 and 300 s in numbers alone: what is needed after every event, at a tenth of a row.

    `counts` in liquidations, `micro_usd` in exact micro-USD, `acceleration` in liquidations/s^2.
    """

    counts: tuple[int, int, int, int]
    micro_usd: tuple[int, int, int, int]
    acceleration: float


class Window(Struct, frozen=True):
    """The liquidations in (now - `seconds`, now], USD in exact micro-USD.

    `micro_squares` is the sum of squared micro-USD, `live_ms` the live part of the window (None: unknown feed).

    >>> w = Window(10, 2, 0, long_micro=192_000_000, short_micro=0, micro_squares=0, live_ms=10_000)
    >>> w.velocity, w.usd_velocity, w.imbalance_count
    (0.2, 19.2, 1.0)
    """

    seconds: int
    long_count: int
    short_count: int
    long_micro: int
    short_micro: int
    micro_squares: int
    live_ms: int | None
    unsided_count: int = 0
    unsided_micro: int = 0

    @property
    def count(self) -> int:
        """Liquidations in the window."""
        return self.long_count + self.short_count + self.unsided_count

    @property
    def micro(self) -> int:
        """USD in the window, in micro-USD."""
        return self.long_micro + self.short_micro + self.unsided_micro

    @property
    def usd(self) -> float:
        """USD in the window."""
        return self.micro / MICRO

    @property
    def velocity(self) -> float:
        """Liquidations/s over the whole window, also while it is not fully covered: it never overstates."""
        return self.count / self.seconds

    @property
    def usd_velocity(self) -> float:
        """USD/s over the whole window."""
        return self.micro / (MICRO * self.seconds)

    @property
    def imbalance_count(self) -> float | None:
        """(long - short) / (long + short) by count, in [-1, 1]; None when empty."""
        sided = self.long_count + self.short_count
        return (self.long_count - self.short_count) / sided if sided else None

    @property
    def imbalance_usd(self) -> float | None:
        """(long - short) / (long + short) by USD, in [-1, 1]; None when there is no USD."""
        sided = self.long_micro + self.short_micro
        return (self.long_micro - self.short_micro) / sided if sided else None

    @property
    def se_velocity(self) -> float:
        """Standard error of `velocity` for independent events: sqrt(count) / W; no baseline is known here."""
        return sqrt(self.count) / self.seconds

    @property
    def se_usd_velocity(self) -> float:
        """Standard error of `usd_velocity`: sqrt(sum of squared USD) / W."""
        return sqrt(self.micro_squares) / (MICRO * self.seconds)

    @property
    def coverage(self) -> float | None:
        """Share of the window in which the feed was live."""
        return None if self.live_ms is None else self.live_ms / (1000 * self.seconds)

    @property
    def rate_per_exposure(self) -> float | None:
        """Unbiased liquidations/s of live time; None without live time."""
        return self.count * 1000 / self.live_ms if self.live_ms else None
