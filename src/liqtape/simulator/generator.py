"""True liquidations before any venue's throttle: a Hawkes process by cluster construction, seeded, without a clock.

Each stream is one symbol of one venue. Immigrants arrive as a Poisson process, every liquidation draws children of its
own stream and of the others, a shock adds immigrants. Nothing is kept but the events still to come, so it runs on for
ever in constant memory.
"""

import heapq
import math
import random
from collections.abc import Sequence
from itertools import pairwise
from statistics import NormalDist
from typing import Literal

from msgspec import Struct

from liqtape.simulator.listings import MARKETS, Listing
from liqtape.simulator.prices import Prices
from liqtape.simulator.scenario import Scenario, Shock

__all__ = ["BTC_SIZE", "SIZE", "TAILS", "Generator", "Side", "TrueLiquidation", "branching_ratio", "size_quantile"]

Side = Literal["long", "short"]

# Fitted: own branching 0.5 to 0.66 at 0.1/s and 0.010 children for every other symbol, plus an assumed fast part that
# the throttled recordings cannot show. The cross part is capped because here the streams of all venues know each other.
_OWN = ((1.0, 0.10), (0.1, 0.45), (0.01, 0.05))
_CROSS_EACH = 0.010
_CROSS_ALL = 0.20
_CROSS_RATE = 0.1
# First-generation liquidations per second and unit of share. Fitted is 0.002 for one large symbol among 550; sixteen
# listings carry the whole market here, so they get a little more.
_IMMIGRANTS = 0.006
_WARM_UP_SECONDS = 300.0
_KEEP_SIDE = 0.97
_SIDE_MEMORY_SECONDS = 60.0
_FALLING_MS = 40_000

SIZE = (5.3, 2.2)
"""Mean and standard deviation of ln USD below the tails, all symbols but Bitcoin's."""
BTC_SIZE = (7.5, 1.75)
TAILS = ((6_000.0, 0.9), (2_000_000.0, 2.0))
"""`(usd, alpha)`: from there on the exponent of the Pareto tail. The second bends the tail where a cut would pile all
that is larger up at one value: levels learned from such sizes are deaf above the pile."""

_LEAST = 2.0**-53  # the smallest step of random(); at 0 a size would be infinite


class TrueLiquidation(Struct, frozen=True):
    """One forced close as it happened, with prices and size as its venue would print them."""

    serial: int
    at_ms: int
    """On the scenario's timeline, not a date."""
    listing: Listing
    side: Side
    fill: str
    limit: str
    """Limit price of the forced order, near the bankruptcy price."""
    size: str
    """In the contract's own unit: base coin, contracts or USD."""


def size_quantile(u: float, body: tuple[float, float], *tails: tuple[float, float]) -> float:
    """Find the USD size below which the part `u` of liquidations lies, 0 < u < 1.

    Log-normal with `body` = (mean, standard deviation) of ln USD up to the first tail; from the start of each tail
    `(usd, alpha)`, in ascending order, Pareto: P(size > x) = P(size > usd) (x / usd)^-alpha.

    >>> round(size_quantile(0.5, (6.2, 2.2), (50_000, 1.3)), 3)
    492.749
    >>> round(size_quantile(0.9999, (5.3, 2.2), (6_000, 0.9), (2_000_000, 2)))
    3621717
    """
    normal = NormalDist(*body)
    rest = 1.0 - u
    above = 1.0 - normal.cdf(math.log(tails[0][0])) if tails else 0.0
    if rest >= above:
        return math.exp(normal.inv_cdf(u))
    for (start, alpha), (end, _) in pairwise((*tails, (math.inf, 0.0))):
        beyond = above * (end / start) ** -alpha
        if rest >= beyond:
            break
        above = beyond
    return float(start * (rest / above) ** (-1.0 / alpha))


def branching_ratio(streams: int) -> float:
    """Mean number of direct children of one liquidation; the process is stable because it is below 1."""
    return sum(mean for _, mean in _OWN) + _cross(streams)


def _cross(streams: int) -> float:
    return min(_CROSS_EACH * (streams - 1), _CROSS_ALL)


class _Pending(Struct, order=True):
    """Something still to happen; `order` breaks ties so that equal moments keep the order in which they were drawn."""

    at: float
    order: int
    kind: Literal["immigrant", "child", "shock", "block"]
    stream: int


class Generator:
    """The true liquidations of one scenario; the same seed gives the same ones, however it is asked."""

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        listings: Sequence[Listing] = MARKETS[""],
        market: str = "",
        prices: Prices | None = None,
    ) -> None:
        self.prices = Prices(scenario, seed) if prices is None else prices
        self._scenario = scenario
        self._listings = tuple(listings)
        self._random = random.Random(f"{seed}:liquidations:{market}" if market else f"{seed}:liquidations")
        self._heap: list[_Pending] = []
        self._drawn = 0
        self._serial = 0
        self._last: dict[int, tuple[float, Side]] = {}
        for stream in range(len(self._listings)):
            self._schedule_immigrant(stream, -_WARM_UP_SECONDS)
        if scenario.shock is not None:
            self._push(scenario.shock.first_ms / 1000, "shock", 0)
        if scenario.block is not None:
            block = scenario.block
            for stream, item in enumerate(self._listings):
                if (item.venue, item.symbol) == (block.venue, block.symbol):
                    self._push(block.at_ms / 1000, "block", stream)

    def until(self, at_ms: float) -> list[TrueLiquidation]:
        """The liquidations not handed out before that happen up to this moment of the timeline, in order."""
        happened: list[TrueLiquidation] = []
        while self._heap[0].at * 1000 <= at_ms:
            event = heapq.heappop(self._heap)
            if event.kind == "shock":
                self._shock(event.at)
            elif event.kind == "block":
                happened += self._block(event)
            else:
                if event.kind == "immigrant":
                    self._schedule_immigrant(event.stream, event.at)
                self._schedule_children(event.stream, event.at)
                if event.at >= 0:  # what is before is the warm-up of the intensity
                    happened.append(self._liquidation(event.stream, event.at))
        return happened

    def _push(self, at: float, kind: Literal["immigrant", "child", "shock", "block"], stream: int) -> None:
        self._drawn += 1
        heapq.heappush(self._heap, _Pending(at, self._drawn, kind, stream))

    def _schedule_immigrant(self, stream: int, after: float) -> None:
        rate = _IMMIGRANTS * self._listings[stream].share
        self._push(after + self._random.expovariate(rate), "immigrant", stream)

    def _schedule_children(self, stream: int, at: float) -> None:
        for rate, mean in _OWN:
            for _ in range(self._poisson(mean)):
                self._push(at + self._random.expovariate(rate), "child", stream)
        others = len(self._listings) - 1
        for _ in range(self._poisson(_cross(others + 1))):
            other = self._random.randrange(others)
            self._push(at + self._random.expovariate(_CROSS_RATE), "child", other + (other >= stream))

    def _shock(self, at: float) -> None:
        shock = self._scenario.shock
        if shock is None:
            return
        self._push(at + shock.every_ms / 1000, "shock", 0)
        rising = shock.rise_ms / (shock.rise_ms + 2 * shock.fade_ms)
        for stream, item in enumerate(self._listings):
            for _ in range(self._poisson(shock.immigrants * item.share)):
                delay = shock.rise_ms * math.sqrt(self._random.random())
                if self._random.random() >= rising:
                    delay = shock.rise_ms + shock.fade_ms * self._random.expovariate(1.0)
                self._push(at + delay / 1000, "child", stream)

    def _block(self, event: _Pending) -> list[TrueLiquidation]:
        block = self._scenario.block
        count = 0 if block is None else block.count
        return [self._liquidation(event.stream, event.at) for _ in range(count)]

    def _liquidation(self, stream: int, at: float) -> TrueLiquidation:
        item = self._listings[stream]
        at_ms = int(at * 1000)
        side = self._side(stream, at)
        mark = item.price * self.prices.factor(item.coin, at_ms)
        fill = mark * (1 + self._random.gauss(0.0, 2e-4))
        away = self._random.uniform(0.004, 0.014)
        limit = mark * (1 - away if side == "long" else 1 + away)
        body = BTC_SIZE if item.coin == "BTC" else SIZE
        usd = size_quantile(1.0 - (self._random.random() or _LEAST), body, *TAILS)
        shock = self._shock_at(at)
        if shock is not None:
            usd *= shock.sizes
        self._serial += 1
        return TrueLiquidation(
            serial=self._serial,
            at_ms=at_ms,
            listing=item,
            side=side,
            fill=item.fill_text(fill),
            limit=item.price_text(limit),
            size=item.size_text(usd, fill),
        )

    def _side(self, stream: int, at: float) -> Side:
        before, side = self._last.get(stream, (-math.inf, "long"))
        if at - before > _SIDE_MEMORY_SECONDS:
            side = "long" if self._random.random() < 0.55 else "short"
        elif self._random.random() >= _KEEP_SIDE:
            side = "short" if side == "long" else "long"
        if self._shock_at(at) is not None and self._random.random() < 0.3:
            side = "long"  # a falling market closes longs
        self._last[stream] = (at, side)
        return side

    def _shock_at(self, at: float) -> Shock | None:
        """Return the shock under which the market is falling, if it is."""
        shock = self._scenario.shock
        return shock if shock is not None and 0 <= shock.since(at * 1000) < _FALLING_MS else None

    def _poisson(self, mean: float) -> int:
        """A Poisson draw by counting exponential gaps: the means here are small."""
        count = 0
        waited = self._random.expovariate(1.0)
        while waited < mean:
            count += 1
            waited += self._random.expovariate(1.0)
        return count
