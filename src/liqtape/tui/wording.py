"""Numbers, times and levels as a person reads them in a terminal."""

from datetime import UTC, datetime, tzinfo

from liqtape.events import Level

__all__ = ["ALARM_STYLE", "LEVEL_STYLES", "NOTHING", "age", "clock", "days", "duration", "state_style", "usd"]

NOTHING = "–"  # noqa: RUF001 - an en dash, as on the dashboard: not known, never zero

LEVEL_STYLES: dict[Level, str] = {
    "NONE": "dim",
    "WATCH": "yellow",
    "ALERT": "bold dark_orange",
    "CRITICAL": "bold #ffffff on #b3001b",
    "EXTREME": "bold #ffffff on #a3107c",
}
ALARM_STYLE = "bold #ffffff on #b3001b"
_STATE_STYLES = {"live": "", "stalled": "bold red", "refused": "bold red", "stopped": "dim"}
_DAY_MINUTES = 24 * 60
_HOURS_UNTIL = 2.0  # days
_DAYS_UNTIL = 1_000.0
_MOST_YEARS = 99.0


def usd(amount: float) -> str:
    """Return an amount as a trader reads it.

    >>> usd(950.0), usd(12_345.0), usd(3_400_000.0)
    ('950', '12.3k', '3.40M')
    """
    # Each unit begins where the smaller one would round to 1000.
    for first, size, letter, digits in ((999_995_000, 1e9, "B", 2), (999_950, 1e6, "M", 2), (999.5, 1e3, "k", 1)):
        if abs(amount) >= first:
            return f"{amount / size:.{digits}f}{letter}"
    return f"{amount:.0f}"


def age(seconds: float | None) -> str:
    """Return how long ago something came.

    >>> age(None), age(0.25), age(41.0), age(754.0)
    ('never', '0.2 s', '41 s', '12:34')
    """
    if seconds is None:
        return "never"
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 100 else duration(seconds)


def duration(seconds: float) -> str:
    """Return a span of time with the units of a clock.

    >>> duration(74.0), duration(3_700.0), duration(90_061.0)
    ('1:14', '1:01:40', '1 d 1:01:01')
    """
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    number, hours = divmod(hours, 24)
    if number:
        return f"{number} d {hours}:{minutes:02}:{rest:02}"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def days(number: float) -> str:
    """Return a return period in the unit that suits it.

    >>> days(0.01), days(0.25), days(12.3), days(2_000.0), days(1e9)
    ('14 min', '6.0 h', '12 d', '5.5 y', '>99 y')
    """
    if number * 24 < 1:
        return f"{number * _DAY_MINUTES:.0f} min"
    if number < _HOURS_UNTIL:
        return f"{number * 24:.1f} h"
    if number < _DAYS_UNTIL:
        return f"{number:.0f} d"
    years = number / 365.25
    return f"{years:.1f} y" if years <= _MOST_YEARS else f">{_MOST_YEARS:.0f} y"


def clock(at_ms: int, zone: tzinfo = UTC) -> str:
    """Return the time of day of a stamp; a dash for one that no calendar has.

    >>> clock(1_790_000_000_000)
    '14:13:20'
    """
    try:
        return datetime.fromtimestamp(at_ms / 1000, zone).strftime("%H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return NOTHING


def state_style(state: str) -> str:
    """Return how the state of a venue looks."""
    return _STATE_STYLES.get(state, "bold yellow")
