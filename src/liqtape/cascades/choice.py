"""Which detectors run, with which thresholds, and how one is made for a stream."""

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Literal

from msgspec import Struct

from liqtape.cascades.changepointdetector import ChangePointDetector
from liqtape.cascades.cusumdetector import CusumDetector
from liqtape.cascades.detector import Detector
from liqtape.cascades.hawkesdetector import HawkesDetector
from liqtape.cascades.helddetector import Measure
from liqtape.cascades.returnperioddetector import ReturnPeriodDetector
from liqtape.cascades.surprisedetector import SurpriseDetector
from liqtape.cascades.thresholddetector import ThresholdDetector
from liqtape.engine.levels.returnperiods import StreamKey
from liqtape.engine.levels.streamlevel import INSTRUMENT, MARKET_STEPS, VENUE, LevelSteps
from liqtape.engine.levels.threshold import Threshold
from liqtape.events import Side

__all__ = ["DEFAULT_DETECTOR", "DETECTORS", "CascadeSettings", "detector_of"]

DEFAULT_DETECTOR = ReturnPeriodDetector.name
"""The levels of a run are this detector already."""


class CascadeSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which `detectors` run side by side, of `return_periods`, `threshold`, `surprise`, `cusum`, `hawkes` and
    `change_point`.

    `side`: `both`, or only the `long` or `short` liquidations are heard. `by` `usd`, CUSUM and Hawkes count a
    liquidation as its size tells, and the threshold rule compares `usd_velocity_10s` (USD/s over 10 s); by `rate` it
    compares `velocity_10s` and `acceleration`. `level` is what the return periods have to reach. `surprise`, `cusum`
    and `hawkes` are thresholds of these statistics, without which each has its default; `change_point` is the multiple
    of the usual rate that a new rate has to have. With `refit`, Hawkes is fitted anew each hour.
    """

    detectors: tuple[str, ...] = (DEFAULT_DETECTOR,)
    by: Literal["rate", "usd"] = "rate"
    side: Literal["both", "long", "short"] = "both"
    level: Literal["WATCH", "ALERT", "CRITICAL"] = "WATCH"
    velocity_10s: float = 5.0
    acceleration: float = 2.0
    usd_velocity_10s: float = 100_000.0
    surprise: float = 4.0
    cusum: float | None = None
    hawkes: float | None = None
    change_point: float = 30.0
    refit: bool = True

    def __post_init__(self) -> None:
        _check_names(self.detectors)
        for key in ("velocity_10s", "acceleration", "usd_velocity_10s", "surprise", "cusum", "hawkes", "change_point"):
            value = getattr(self, key)
            if value is not None and not 0.0 < value < inf:
                raise ValueError(f"{key} must be above 0")


def _return_periods(settings: CascadeSettings, steps: LevelSteps, side: Side | None) -> Detector:
    return ReturnPeriodDetector(steps, settings.level, side)


def _threshold(settings: CascadeSettings, _: LevelSteps, side: Side | None) -> Detector:
    usd = settings.usd_velocity_10s if settings.by == "usd" else None
    return ThresholdDetector(Threshold(settings.velocity_10s, settings.acceleration), usd, side)


def _surprise(settings: CascadeSettings, _: LevelSteps, side: Side | None) -> Detector:
    return SurpriseDetector(settings.surprise, side)


def _cusum(settings: CascadeSettings, _: LevelSteps, side: Side | None) -> Detector:
    by: Measure = settings.by
    return CusumDetector(settings.cusum, by=by, side=side)


def _hawkes(settings: CascadeSettings, _: LevelSteps, side: Side | None) -> Detector:
    by: Measure = settings.by
    return HawkesDetector(settings.hawkes, by=by, side=side, keeps_past=settings.refit)


def _change_point(settings: CascadeSettings, _: LevelSteps, side: Side | None) -> Detector:
    return ChangePointDetector(settings.change_point, side=side)


DETECTORS: Mapping[str, Callable[[CascadeSettings, LevelSteps, Side | None], Detector]] = {
    DEFAULT_DETECTOR: _return_periods,
    "threshold": _threshold,
    "surprise": _surprise,
    "cusum": _cusum,
    "hawkes": _hawkes,
    "change_point": _change_point,
}
"""By their names in the configuration, the default one first."""


def detector_of(name: str, key: StreamKey, settings: CascadeSettings | None = None) -> Detector:
    """Return a new detector of a stream by its name in `DETECTORS`. Raises ValueError naming those there are.

    To drive one over a file: `up` at the file's first event, `down` and `up` at the edges of gaps in its coverage,
    `update` with each event in the order (event_ms, file order), `at` where its standing is asked for, `down` at the
    end. A threshold other than the default is that of the settings:

    >>> detector = detector_of("cusum", StreamKey(None, "BTCUSDT"), CascadeSettings(cusum=40.0, by="usd"))
    >>> detector.name, detector.at(0).threshold
    ('cusum', 40.0)
    >>> detector_of("entropy", StreamKey(None, None))
    Traceback (most recent call last):
    ...
    ValueError: unknown detector 'entropy'; there are return_periods, threshold, surprise, cusum, hawkes, change_point
    """
    _check_name(name)
    chosen = CascadeSettings() if settings is None else settings
    steps = INSTRUMENT if key.instrument is not None else VENUE if key.venue is not None else MARKET_STEPS
    side: Side | None = None if chosen.side == "both" else chosen.side
    return DETECTORS[name](chosen, steps, side)


def _check_names(names: Sequence[str]) -> None:
    if isinstance(names, str):
        raise TypeError(f"detectors must be a list of names, as in ['{names or 'return_periods'}']")
    for name in names:
        _check_name(name)
    if len(set(names)) < len(names):
        raise ValueError("detectors must not name one twice")


def _check_name(name: str) -> None:
    if name not in DETECTORS:
        raise ValueError(f"unknown detector '{name}'; there are {', '.join(DETECTORS)}")
