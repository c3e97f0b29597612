"""From a scheme that fails to a small one that fails in the same way."""

from collections.abc import Callable

from chaos.virtual.execution import Outcome
from chaos.virtual.scheme import Scheme
from msgspec.structs import replace

__all__ = ["kind_of", "minimised"]

_MOST_ATTEMPTS = 60
_CALM_SECONDS = 240.0


def kind_of(outcome: Outcome) -> str:
    """Return what kind of problem came first; empty where there is none."""
    return outcome.problems[0].split(": ")[1] if outcome.problems else ""


def minimised(outcome: Outcome, execute: Callable[[Scheme], Outcome]) -> Outcome:
    """Leave out hazards, one after the other, and what comes behind the last of them, while the problem stays."""
    kind, attempts = kind_of(outcome), 0

    def still(smaller: Scheme) -> bool:
        nonlocal outcome, attempts
        attempts += 1
        found = execute(smaller)
        is_same = kind_of(found) == kind
        if is_same:
            outcome = found
        return is_same

    for hazard in reversed(outcome.scheme.hazards):
        if attempts < _MOST_ATTEMPTS:
            still(replace(outcome.scheme, hazards=tuple(h for h in outcome.scheme.hazards if h != hazard)))
    ends = max((hazard.at + hazard.seconds for hazard in outcome.scheme.hazards), default=0.0)
    if ends + _CALM_SECONDS < outcome.scheme.seconds:
        still(replace(outcome.scheme, seconds=round(ends + _CALM_SECONDS)))
    return outcome
