"""Until when a venue's addresses ask to be left alone: 403, 418, 429 or 503 with a time."""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from liqtape.ourtime import our_seconds

__all__ = ["LONGEST_SECONDS", "Restraints", "until_words", "wait_seconds"]

LONGEST_SECONDS = 86_400.0
"""No answer keeps an address closed for longer; Binance bans for up to three days, and says so again when asked."""

_ASKING = frozenset({403, 418, 429, 503})
_MOST_ADDRESSES = 100


def wait_seconds(status: int, retry_after: str | None, now: float) -> float | None:
    """Return for how long an answer asks to be left alone, None where it names no time; `now` is Unix time.

    >>> wait_seconds(429, "7", 0.0), wait_seconds(418, None, 0.0), wait_seconds(500, "7", 0.0)
    (7.0, None, None)
    >>> wait_seconds(503, "Thu, 01 Jan 1970 00:01:00 GMT", 50.0)
    10.0
    """
    said = (retry_after or "").strip()
    if status not in _ASKING or not said:
        return None
    if said.isascii() and said.isdigit():
        return min(float(said[:12]), LONGEST_SECONDS)
    try:
        at = parsedate_to_datetime(said)
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), LONGEST_SECONDS)


def until_words(until: float) -> str:
    """Say until when, for people.

    >>> until_words(1_790_000_000.0)
    'until 2026-09-21 14:13:20 UTC'
    """
    return f"until {datetime.fromtimestamp(until, UTC):%Y-%m-%d %H:%M:%S} UTC"


class Restraints:
    """What the addresses of one venue ask for; shared by all that connect to it. Times are Unix seconds, steady.

    >>> restraints = Restraints(lambda: 100.0)
    >>> restraints.note("https://api.example/v1", 429, "20"), restraints.left("https://api.example/v2")
    (120.0, 20.0)
    """

    def __init__(self, now: Callable[[], float] = our_seconds) -> None:
        self._now = now
        self._until: dict[str, tuple[float, int]] = {}  # by host: the time, and the status that asked for it

    def note(self, url: str, status: int, retry_after: str | None) -> float | None:
        """Take note of an answer; returns until when it asks to be left alone, None where it does not."""
        seconds = wait_seconds(status, retry_after, self._now())
        if seconds is None:
            return None
        host = _host(url)
        until = max(self._now() + seconds, self._until.get(host, (0.0, 0))[0])
        self._until.pop(host, None)
        self._until[host] = until, status
        if len(self._until) > _MOST_ADDRESSES:
            del self._until[next(iter(self._until))]
        return until

    def left(self, url: str) -> float:
        """Return for how many seconds yet the address is to be left alone."""
        return max(0.0, self._until.get(_host(url), (0.0, 0))[0] - self._now())

    def status(self, url: str) -> int:
        """Return what the address answered when it asked for that; 0 where it never did."""
        return self._until.get(_host(url), (0.0, 0))[1]

    def words(self) -> list[str]:
        """Say which addresses are left alone, why and until when."""
        now = self._now()
        return [
            f"{host} is left alone {until_words(until)}, as it asks with HTTP {status}"
            for host, (until, status) in self._until.items()
            if until > now
        ]

    def why(self, url: str) -> str:
        """Say it of one address; empty where it may be asked."""
        until, status = self._until.get(_host(url), (0.0, 0))
        return f"left alone {until_words(until)}, as it asks with HTTP {status}" if until > self._now() else ""


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]
