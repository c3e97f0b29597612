"""Whether a detector knows what it cannot know: with the future cut off it has to say the same."""

from collections.abc import Sequence
from struct import pack

from liqtape.backtest.detectorrun import Candidate, DetectorRun, run_detectors
from liqtape.backtest.judgedpast import JudgedPast

__all__ = ["looking_ahead"]

_MOST_EVENTS = 20_000  # of a past that is run again
_NEAR_EVENTS = 200


def looking_ahead(
    candidates: Sequence[Candidate], past: JudgedPast, runs: Sequence[DetectorRun], shares: Sequence[float]
) -> list[str]:
    """Return the names of those whose run changes when the past ends after such a share of its events.

    Long pasts end earlier. Candidates are made again from the past that is left, so that what they knew of the rest is
    missing.
    """
    found: set[str] = set()
    for share in shares:
        place = _before_near(past, int(min(len(past), _MOST_EVENTS) * share))
        if place is not None:
            left = past.until(past.times_ms[place])
            again = run_detectors(candidates, left)
            found |= {run.name for short, run in zip(again, runs, strict=True) if _differs(short, run)}
    return [run.name for run in runs if run.name in found]


def _before_near(past: JudgedPast, begin: int) -> int | None:
    """The place, not far from `begin`, whose next event follows soonest: what peeks at it differs most there."""
    times_ms = past.times_ms
    places = range(begin, min(begin + _NEAR_EVENTS, len(times_ms) - 1))
    gaps = ((times_ms[place + 1] - times_ms[place], place) for place in places)
    return min((pair for pair in gaps if pair[0]), default=(0, None))[1]


def _differs(short: DetectorRun, whole: DetectorRun) -> bool:
    """Whether a run of an earlier end said something else until then."""
    last_ms = short.times_ms[-1]
    if short.signals != tuple(one for one in whole.signals if one.at_ms <= last_ms):
        return True
    pairs = ((short.scores, whole.scores), (short.moment_scores, whole.moment_scores))
    return any(_bytes(one) != _bytes(other[: len(one)]) for one, other in pairs)


def _bytes(scores: Sequence[float]) -> bytes:
    return pack(f"<{len(scores)}d", *scores)
