"""A cascade that goes on: what belongs to it so far, and until when.

USD of the last 60 s
  |           peak
  |          /\\__                  belongs to it: from the minute that raised the detector to the last liquidation
  |         /    \\___ half          whose minute held half of the peak
  |     ___/  .      \\____  _
  |____/  .   .     .     \\/ \\___________            it is over when 300 s have passed without another one
  +---|---|---|-----|-------------------|--> t
   begin  |  peak  last              known to be over: then last is the end
      detected
"""

from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from liqtape.cascades.cascade import Cascade, CascadeScope, Share, side_of
from liqtape.cascades.observedshare import ObservedShare
from liqtape.cascades.pricemoves import PriceEnds
from liqtape.cascades.slidingminute import SlidingMinute
from liqtape.cascades.venuelead import LeadCounts, VenueLead
from liqtape.engine.levels.returnperiods import StreamKey
from liqtape.events import LEVELS, Level, Liquidation
from liqtape.money import MICRO, micro_of

__all__ = ["MOST_MS", "QUIET_AFTER_MS", "Placed", "Rise", "RunningCascade"]

QUIET_AFTER_MS = 300_000
"""A cascade is over when so long nothing came that belongs to it."""

MOST_MS = 6 * 3_600_000
"""What goes on for longer is another cascade: half of a peak may be what is usual by then."""

_NAMED = 20
_LEAD_EVERY_MS = 60_000

Placed = tuple[int, Liquidation]
"""When a liquidation stands by the venues' common time, and the liquidation."""


class Rise(Struct, frozen=True, gc=False):
    """A detector was raised for a stream at that moment; `why` in words.

    `usual_usd_60s` is the stream's mean watched minute, None while it is not known. `by_count`: liquidations are what
    it looks at, not their USD.
    """

    key: StreamKey
    detector: str
    at_ms: int
    why: str
    level: Level | None = None
    usual_usd_60s: float | None = None
    by_count: bool = False


class _Part:
    """Count and micro-USD of an instrument or a venue."""

    __slots__ = ("count", "micro")

    def __init__(self) -> None:
        self.count = self.micro = 0


class RunningCascade:
    """Takes in what its stream brings; `record` tells how it stands. Late ones are counted where they belong."""

    def __init__(
        self,
        rise: Rise,
        names: tuple[CascadeScope, str],
        before: Iterable[Placed],
        hidden: tuple[Collection[str], Collection[str]],
    ) -> None:
        scope, name = names
        minute = sorted(before, key=lambda placed: placed[0])
        self.key = rise.key
        self.begin_ms = minute[0][0] if minute else rise.at_ms
        self.held_ms = 0  # in which nobody watched
        self.rise = rise
        self.detectors = {rise.detector: None}
        self.level = rise.level
        self.raised: dict[str, None] = {}
        self.part_of: str | None = None
        self.prices: dict[str, PriceEnds] = {}
        self.signalled_ms = rise.at_ms
        self.has_news = True
        self.told_ms = 0
        self.id = f"{self.begin_ms}-{name}-{rise.detector}"
        self.scope, self.name = scope, name
        self._minute = SlidingMinute(by_count=rise.by_count)
        self._waiting: list[Placed] = []  # newer than what is known to belong to it
        self._sides = {"long": 0, "short": 0, None: 0}
        self._events = self._unsized = 0
        self._instruments: dict[str, _Part] = {}
        self._venues: dict[str, _Part] = {}
        self._seen = ObservedShare(self.begin_ms, *hidden)
        self._leads = LeadCounts(self.begin_ms, hidden[0])
        self._lead: VenueLead | None = None
        self._led_ms = 0
        for placed in minute:
            self.add(placed)
        self.extend()

    @property
    def last_ms(self) -> int:
        """The newest liquidation known to belong to it."""
        return max(self.begin_ms, self._minute.last_ms)

    def add(self, placed: Placed) -> None:
        """Take in a liquidation of the stream; one from before its beginning is not part of it."""
        at_ms, event = placed
        if at_ms < self.begin_ms:
            return
        usd = event.notional_usd
        before_ms = self._minute.last_ms
        self._minute.add(at_ms, 0 if usd is None else micro_of(usd))
        if at_ms <= self.last_ms:
            self._count(at_ms, event)
        else:
            self._waiting.append(placed)
        if self._minute.last_ms > before_ms:
            self._belongs()

    def extend(self) -> None:
        """Let all that came so far belong to it: a detector was raised now."""
        self._minute.settle()
        self._minute.last_ms = max(self._minute.last_ms, self._minute.newest_ms)
        self._belongs()

    def settle(self) -> None:
        """Look at what came late behind many others; `last_ms` and the peak are without it before."""
        before_ms = self._minute.last_ms
        self._minute.settle()
        if self._minute.last_ms > before_ms:
            self._belongs()

    def rise_again(self, rise: Rise) -> None:
        """Take in that a detector was raised while it went on."""
        self.signalled_ms = max(self.signalled_ms, rise.at_ms)
        if rise.detector not in self.detectors:
            self.detectors[rise.detector] = None
            self.has_news = True
        if rise.level is not None and (self.level is None or LEVELS.index(rise.level) > LEVELS.index(self.level)):
            self.level = rise.level
            self.rise = replace(self.rise, why=rise.why)
            self.has_news = True
        self.extend()

    def wait_for(self, venues: Collection[str], passed_ms: int) -> None:
        """Put the end off by the time in which all of its venues, `venues` being away, were not watched."""
        if self._venues and self._venues.keys() <= set(venues):
            self.held_ms += passed_ms

    def is_over(self, now_ms: int) -> bool:
        """Return whether nothing that belongs to it can come any more."""
        return now_ms >= self.last_ms + QUIET_AFTER_MS + self.held_ms or now_ms >= self.begin_ms + MOST_MS

    def price_ends(self) -> tuple[str, PriceEnds] | None:
        """Return the instrument with the most USD, and how its price went."""
        name = max(sorted(self._instruments), key=lambda one: self._instruments[one].micro, default=None)
        return None if name is None else (name, self.prices[name])

    def find_lead(self, now_ms: int, *, is_over: bool = False) -> None:
        """Look which venue leads: that takes a millisecond, so it is done once a minute, and at the end."""
        if is_over:
            self._lead = self._leads.find(self.last_ms)
        elif self.part_of is None and now_ms - self._led_ms >= _LEAD_EVERY_MS:
            self._led_ms = now_ms
            self._lead = self._leads.find()

    def record(self, *, is_over: bool = False, is_cut: bool = False) -> Cascade:
        """Return it as it stands; what the book knows beside it is left open."""
        named = _shares(self._instruments)
        long, short = self._sides["long"] / MICRO, self._sides["short"] / MICRO
        usual = self.rise.usual_usd_60s
        peak = self._minute.peak / MICRO
        return Cascade(
            id=self.id,
            scope=self.scope,
            name=self.name,
            detector=self.rise.detector,
            detectors=tuple(self.detectors),
            why=self.rise.why,
            level=self.level,
            side=side_of(long, short),
            begin_ms=self.begin_ms,
            detected_ms=self.rise.at_ms,
            peak_ms=self._minute.peak_ms or self.begin_ms,
            last_ms=self.last_ms,
            end_ms=self.last_ms if is_over else None,
            events=self._events,
            unsized=self._unsized,
            usd=sum(self._sides.values()) / MICRO,
            long_usd=long,
            short_usd=short,
            peak_usd_60s=peak,
            peak_count_60s=self._minute.peak_count,
            times_usual=round(peak / usual, 6) if usual else None,
            instruments=named[:_NAMED],
            instruments_total=len(named),
            venues=_shares(self._venues)[:_NAMED],
            raised=tuple(self.raised),
            part_of=self.part_of,
            lead=self._lead,
            move_of=None,
            move_during=None,
            move_hour_after=None,
            gaps=None,
            share_observed=self._seen.share(),
            is_cut=is_cut,
        )

    def _belongs(self) -> None:
        """Count what waited and is known to belong to it now."""
        last_ms = self.last_ms
        waiting = [placed for placed in self._waiting if placed[0] > last_ms]
        if len(waiting) < len(self._waiting):
            for at_ms, event in self._waiting:
                if at_ms <= last_ms:
                    self._count(at_ms, event)
            self._waiting = waiting
            self.held_ms = 0

    def _count(self, at_ms: int, event: Liquidation) -> None:
        self.has_news = True
        usd = event.notional_usd
        micro = 0 if usd is None else micro_of(usd)
        self._events += 1
        self._unsized += usd is None
        self._sides[event.side] += micro
        for parts, name in ((self._instruments, event.instrument), (self._venues, event.venue)):
            part = parts.get(name)
            if part is None:
                part = parts[name] = _Part()
            part.count += 1
            part.micro += micro
        prices = self.prices.get(event.instrument)
        if prices is None:
            prices = self.prices[event.instrument] = PriceEnds()
        prices.add(event, at_ms)
        self._seen.add(at_ms, event.venue, event.instrument)
        self._leads.add(event.venue, at_ms)


def _shares(parts: Mapping[str, _Part]) -> tuple[Share, ...]:
    shares = [Share(name, part.count, part.micro / MICRO) for name, part in parts.items()]
    return tuple(sorted(shares, key=lambda share: (-share.usd, -share.count, share.name)))
