"""Forecasts as they are written down before their outcome, and what became of them."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec import Struct

from liqtape.forecast.forecaster import TARGETS, Forecast, Target
from liqtape.forecast.streamforecaster import Issue

__all__ = ["ISSUED_SCHEMA", "IssuedForecast", "Judged", "issued_line", "issued_of", "judged"]

ISSUED_SCHEMA = 1


class IssuedForecast(Struct, frozen=True, forbid_unknown_fields=True):
    """One moment of issue, a line of the log.

    `written_ms` is our own time when it was handed over to be written, `state` the digest of the features it was made
    from. `forecasts` are as the model made them; `withheld` says, for each, why it was not shown, empty where it was.
    `reached` is how many events came in as many seconds before `at_ms` as each of `targets` has: so a line holds the
    outcome of an earlier one.
    """

    schema: int
    at_ms: int
    written_ms: int
    stream: str
    model: str
    state: str
    forecasts: tuple[Forecast, ...]
    withheld: tuple[str, ...]
    targets: tuple[Target, ...]
    reached: tuple[int, ...]

    def issue(self) -> Issue:
        """Return what the forecaster said."""
        return Issue(self.at_ms, self.state, self.forecasts, self.reached)


class Judged(Struct, frozen=True):
    """A probability that was written before its outcome, and the outcome."""

    at_ms: int
    target: Target
    probability: float
    base_rate: float
    is_reached: bool
    is_shown: bool


def issued_of(issue: Issue, shown: Sequence[Forecast], stream: str, model: str, written_ms: int) -> IssuedForecast:
    """Return a line of the log."""
    withheld = tuple(forecast.why for forecast in shown)
    return IssuedForecast(
        ISSUED_SCHEMA,
        issue.at_ms,
        written_ms,
        stream,
        model,
        issue.state,
        issue.forecasts,
        withheld,
        TARGETS,
        issue.reached,
    )


def issued_line(issued: IssuedForecast) -> bytes:
    """Return it as the file has it."""
    return msgspec.json.encode(issued) + b"\n"


def judged(log: Iterable[IssuedForecast]) -> Iterator[Judged]:
    """Yield the forecasts of a log whose outcome the log has, in the order in which that became known.

    A forecast without probability is left out, and one whose seconds ended while nothing was written.
    """
    waiting: dict[tuple[int, str, Target], tuple[Forecast, bool]] = {}
    for issued in log:
        for target, reached in zip(issued.targets, issued.reached, strict=True):
            made = waiting.pop((issued.at_ms - 1000 * target.seconds, issued.stream, target), None)
            if made is not None:
                forecast, is_shown = made
                yield Judged(
                    forecast.at_ms,
                    target,
                    forecast.probability or 0.0,
                    forecast.base_rate or 0.0,
                    reached >= target.count,
                    is_shown,
                )
        for forecast, why in zip(issued.forecasts, issued.withheld, strict=True):
            if forecast.probability is not None:
                waiting[forecast.at_ms, issued.stream, forecast.target] = forecast, not why
        oldest_ms = issued.at_ms - 1000 * max(target.seconds for target in issued.targets)
        for key in [key for key in waiting if key[0] < oldest_ms]:
            del waiting[key]
