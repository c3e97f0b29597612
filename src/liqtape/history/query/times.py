"""Points in time as people write them, and the grid of a question."""

import re
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any

from liqtape.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["check_span", "grid", "moment_ms"]

_UNITS_MS = {"s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_RELATIVE = re.compile(r"(?:now)?\s*([+-])\s*(\d+(?:\.\d+)?)\s*(s|m|min|h|d|w)")
_NUMBER = re.compile(r"(\d+)(\.\d+)?")
# What a number is, by its digits: seconds have ten from 2001 to 2286. Fewer are days and minutes in ISO's basic form,
# which as seconds would lie in the first weeks of 1970.
_DATES = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_PER_MS = {10: 1000.0, 13: 1.0}
_MOST_STEPS = 10_000_000


def moment_ms(text: str, now_ms: int, zone: tzinfo = UTC) -> int:
    """Return Unix time in ms; ISO 8601 without a zone is in `zone`. Raises ConfigurationError for anything else.

    >>> now = 1_790_000_000_000
    >>> moment_ms("-2h", now) - now, moment_ms("now", now) - now, moment_ms("1790000000.5", now) - now
    (-7200000, 0, 500)
    >>> moment_ms("2026-09-21T14:13:20Z", now), moment_ms("1790000000000", now)
    (1790000000000, 1790000000000)
    >>> moment_ms("20261128", now) == moment_ms("2026-11-28T00:00Z", now)
    True
    """
    said = text.strip()
    if said == "now":
        return now_ms
    if relative := _RELATIVE.fullmatch(said):
        return now_ms + round(float(relative[1] + relative[2]) * _UNITS_MS[relative[3]])
    number = _NUMBER.fullmatch(said)
    if number and len(number[1]) in _PER_MS:
        return round(float(said) * _PER_MS[len(number[1])])
    try:
        if number and number[2] is None and len(said) in _DATES:
            moment = datetime.strptime(said, _DATES[len(said)])  # noqa: DTZ007 - the zone comes below
        else:
            moment = datetime.fromisoformat(said)
        return round((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise ConfigurationError(
            f"{text!r} is no time; write -2h, now, 2026-11-25T08:00, 20261125, or Unix seconds or ms"
        ) from None


def check_span(from_ms: int, until_ms: int) -> None:
    """Raise ConfigurationError for an interval that is none."""
    if from_ms >= until_ms:
        raise ConfigurationError(f"from {from_ms} to {until_ms} is no interval: it must begin before it ends")


def grid(from_ms: int, until_ms: int, every: int) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Return the multiples of `every` seconds in (from, until]: the same moments, whenever it is asked.

    >>> grid(90_500, 200_000, 30).tolist()
    [120000, 150000, 180000]
    """
    import numpy as np

    check_span(from_ms, until_ms)
    if every < 1:
        raise ConfigurationError(f"a step of {every} s: it must be at least 1 s")
    step = 1000 * every
    if (until_ms - from_ms) // step > _MOST_STEPS:
        raise ConfigurationError(
            f"more than {_MOST_STEPS:,} steps of {every} s: ask for longer ones, or a shorter span"
        )
    return np.arange((from_ms // step + 1) * step, until_ms + 1, step, dtype=np.int64)
