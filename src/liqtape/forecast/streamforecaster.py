"""The forecasts of one stream: by each of several scorers, at moments that are fixed beforehand."""

from collections.abc import Sequence
from hashlib import blake2b
from struct import pack

from msgspec import Struct

from liqtape.events import Liquidation
from liqtape.forecast.features import StreamFeatures, issue_time
from liqtape.forecast.forecaster import TARGETS, Forecast, Target
from liqtape.forecast.scorers import Scorer
from liqtape.forecast.watchedspans import WatchedSpans

__all__ = ["Issue", "StreamForecaster"]

_NOTHING_YET = "no liquidation yet"


class Issue(Struct, frozen=True):
    """What was forecast at one moment, and the state it was made from.

    `state` is the digest of the features. `reached` is, for each of `TARGETS`, how many events there were in as many
    seconds up to now: the outcome of the forecast made then.
    """

    at_ms: int
    state: str
    forecasts: tuple[Forecast, ...]
    reached: tuple[int, ...]


class StreamForecaster:
    """Forecasts of each of the scorers, at whole ten seconds of event time.

    `at` answers as of the newest such moment; asked twice for the same it says the same, whatever came meanwhile.
    Events may be given early, late and in any order: only those up to the moment are used. `watched` says what was
    watched; without it that is everything from the first event given on.
    """

    def __init__(self, scorers: Sequence[Scorer], watched: WatchedSpans | None = None) -> None:
        self.features = StreamFeatures()
        self.watched = WatchedSpans(["stream"]) if watched is None else watched
        self._awaits_first = watched is None
        self._scorers = tuple(scorers)
        self._issue: Issue | None = None

    def update(self, event: Liquidation) -> None:
        """Take in an event."""
        if self._awaits_first:
            self._awaits_first = False
            self.watched.up("stream", event.event_ms)
        self.features.add(event)

    def at(self, now_ms: int) -> tuple[Forecast, ...]:
        """Return the forecasts as of the newest moment of issue, from the events up to it."""
        return self.issue(now_ms).forecasts

    def issue(self, now_ms: int) -> Issue:
        """Return the same with the state they were made from. Raises ValueError for a moment before the last one."""
        at_ms = issue_time(now_ms)
        if self._issue is None or self._issue.at_ms != at_ms:
            self._issue = self._issued(at_ms)
        return self._issue

    def _issued(self, at_ms: int) -> Issue:
        row = self.features.row(at_ms)
        why = _NOTHING_YET if self._awaits_first else self.watched.why_not(at_ms)
        return Issue(
            at_ms,
            blake2b(pack(f"<{len(row)}d", *row), digest_size=8).hexdigest(),
            tuple(_forecast(at_ms, scorer, target, row, why) for scorer in self._scorers for target in scorer.targets),
            tuple(self.features.count(at_ms, target.seconds) for target in TARGETS),
        )


def _forecast(at_ms: int, scorer: Scorer, target: Target, row: Sequence[float], why: str) -> Forecast:
    base_rate = scorer.base_rate(target)
    if why := why or scorer.verdict(target):
        return Forecast(at_ms, target, None, base_rate, scorer.name, why)
    return Forecast(at_ms, target, scorer.probability(target, row), base_rate, scorer.name)
