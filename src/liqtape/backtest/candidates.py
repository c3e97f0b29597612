"""The detectors that are examined, by their names."""

from collections.abc import Sequence

from liqtape.backtest.detectorrun import Candidate
from liqtape.backtest.judgedpast import JudgedPast
from liqtape.cascades.choice import DETECTORS, CascadeSettings, detector_of
from liqtape.cascades.detector import Detector
from liqtape.errors import ConfigurationError

__all__ = ["CANDIDATES", "candidates_of"]

_USD = ":usd"
_BY_USD = ("cusum", "hawkes")

CANDIDATES = (*DETECTORS, *(f"{name}{_USD}" for name in _BY_USD))
"""Who is examined where nobody is named: the detectors of the settings, and two of them by USD as well."""

_KNOWN = (*CANDIDATES, f"threshold{_USD}")


def candidates_of(names: Sequence[str]) -> list[Candidate]:
    """Return what is to be examined: the names given, or all. Raises ConfigurationError for an unknown one.

    >>> [one.name for one in candidates_of(["cusum:usd"])]
    ['cusum:usd']
    """
    for name in names:
        if name not in _KNOWN:
            raise ConfigurationError(f"--detector {name}: there are {', '.join(_KNOWN)}")
    return [_candidate(name) for name in dict.fromkeys(names or CANDIDATES)]


def _candidate(name: str) -> Candidate:
    plain = name.removesuffix(_USD)
    # Hawkes is not fitted anew: that is the work of a running service, and would keep all of the past.
    settings = CascadeSettings(refit=False, by="usd" if name != plain else "rate")

    def make(past: JudgedPast) -> Detector:
        return detector_of(plain, past.key, settings)

    return Candidate(name, make)
