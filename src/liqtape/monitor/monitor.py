"""Looks at the feeds once a second: what fails to come, ledgers that do not add up, clocks that differ, odd frames."""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from liqtape.events import Trouble
from liqtape.feeds.venuefeed import VenueFeed, clock_words
from liqtape.instruments import Separation
from liqtape.ledger import Ledger
from liqtape.monitor.quarantine import Quarantine
from liqtape.monitor.rates import Rates
from liqtape.pipeline.clock import EventClock
from liqtape.pipeline.listener import Listener, Listeners
from liqtape.venues.session import Undecodable

__all__ = ["Monitor"]

_SKEW_MS = 1_000
_KEPT = 100
_STOP_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Monitor(Listener):
    """Tells each trouble once while it lasts: in the log, in the health of the venue, and to the listeners.

    Undecodable frames go to `quarantine/` in the data directory, where there is one.
    """

    def __init__(
        self, feeds: Sequence[VenueFeed], clock: EventClock, listeners: Listeners, data_dir: Path | None = None
    ) -> None:
        self.troubles: deque[Trouble] = deque(maxlen=_KEPT)
        self._feeds = feeds
        self._clock = clock
        self._listeners = listeners
        self._rates = Rates()
        self._lasting: dict[str, str] = {}  # by subject
        self._quarantines = (
            {} if data_dir is None else {f.venue.name: Quarantine(data_dir / "quarantine", f.venue.name) for f in feeds}
        )
        self._keeping: asyncio.Task[None] | None = None

    def look(self, now: float, wall_ms: int, ledgers: Sequence[tuple[str, Ledger]]) -> None:
        """Once a second, `now` being seconds of a monotonic clock; `ledgers` are all there are, with their names."""
        found = self._unbalanced(ledgers) | self._skewed() | self._quiet(now)
        for subject, reason in found.items():
            if subject not in self._lasting:
                self.tell(Trouble(subject, reason, wall_ms))
        for subject in self._lasting.keys() - found.keys():
            _log.info("%s: well again", subject)
        self._lasting = found

    @property
    def lasting(self) -> Mapping[str, str]:
        """What is wrong now, subject: reason."""
        return self._lasting

    def tell(self, trouble: Trouble) -> None:
        """Log and tell a trouble; what somebody else found is not asked after again."""
        level = logging.ERROR if trouble.subject.startswith("ledger") else logging.WARNING
        _log.log(level, "%s: %s", trouble.subject, trouble.reason)
        self.troubles.append(trouble)
        for listener in self._listeners:
            listener.trouble(trouble)

    def separated(self, separation: Separation) -> None:
        """Tell of an instrument that is called by another name from now on."""
        self.tell(Trouble(f"name of {separation.venue} {separation.symbol}", str(separation), separation.at_ms))

    def keep_samples(self) -> None:
        """Write the undecodable frames since the last call; a disk that hangs delays nothing but the next of them."""
        if self._keeping is not None and not self._keeping.done():
            return
        taken = []
        for feed in self._feeds:
            samples = feed.pool.samples
            if samples and feed.venue.name in self._quarantines:
                taken.append((self._quarantines[feed.venue.name], list(samples)))
                samples.clear()
        if taken:
            self._keeping = asyncio.get_running_loop().create_task(_kept(taken), name="quarantine")

    async def stop(self) -> None:
        """Write what is left, if the disk is willing."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                for _ in range(2):  # what is being written, and what came meanwhile
                    if self._keeping is not None:
                        await self._keeping
                    self.keep_samples()

    def _unbalanced(self, ledgers: Sequence[tuple[str, Ledger]]) -> dict[str, str]:
        wrong = {name: ledger for name, ledger in ledgers if not ledger.balanced()}
        for feed in self._feeds:
            feed.unbalanced = [name for name, _ in feed.ledgers() if name in wrong] if wrong else ()
        return {f"ledger {name}": f"does not balance: {ledger.as_dict()}" for name, ledger in wrong.items()}

    def _skewed(self) -> dict[str, str]:
        skews = self._clock.skews
        for feed in self._feeds:
            feed.skew_ms = skews.get(feed.venue.name)
        of_venues = {
            f"clock of {venue}": f"it is {clock_words(shift_ms)}; windows take that off"
            for venue, shift_ms in self._clock.shifts.items()
        }
        ours = self._clock.our_ms - self._clock.now_ms  # as time goes by; of two venues the middle is neither's
        if abs(ours) > _SKEW_MS:
            side = "ahead of" if ours > 0 else "behind"
            return {"clock": f"ours is {abs(ours) / 1000:.1f} s {side} the venues'"} | of_venues
        return of_venues

    def _quiet(self, now: float) -> dict[str, str]:
        totals = {
            feed.venue.name: sum(ledger.frames_liquidation for _, ledger in feed.pool.ledgers())
            for feed in self._feeds
            if feed.pool.state == "live"
        }
        self._rates.look(now, totals)
        for feed in self._feeds:
            feed.suspect(self._rates.suspects.get(feed.venue.name, ""))
        return {f"{venue} quiet": reason for venue, reason in self._rates.suspects.items()}


async def _kept(taken: Sequence[tuple[Quarantine, Sequence[Undecodable]]]) -> None:
    for quarantine, samples in taken:
        await asyncio.to_thread(quarantine.keep, samples)
