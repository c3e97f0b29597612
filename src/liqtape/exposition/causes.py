"""Closed lists for labels: what a venue or a network says never becomes a label of its own."""

import re
from collections import Counter
from collections.abc import Mapping

__all__ = ["FEED_STATES", "NO_FAILURES", "bounded_cause", "bounded_causes"]

FEED_STATES = (
    "starting",
    "connecting",
    "subscribing",
    "live",
    "stalled",
    "waiting",
    "refused",
    "no trades",
    "quiet",
    "unlisted",
    "clock off",
    "unbalanced",
    "idle",
    "stopped",
)
"""The states of a venue's feed, as in `VenueHealth`."""

_CAUSES = frozenset(
    {
        "address",
        "closed_1000",
        "closed_1001",
        "closed_1006",
        "closed_1011",
        "closed_1012",
        "closed_1013",
        "dns",
        "handshake",
        "http_403",
        "http_418",
        "http_429",
        "http_451",
        "internal",
        "network",
        "notice",
        "pace",
        "protocol",
        "refused",
        "stalled",
        "subscription",
        "timeout",
        "tls",
        "too_big",
        "unread",
    }
)
NO_FAILURES: dict[str, int] = dict.fromkeys(sorted(_CAUSES), 0)
"""A count for each known cause, so that the first failure is an increase."""

_CODE = re.compile(r"(closed|http)_(\d)\d*")


def bounded_cause(cause: str) -> str:
    """Return the cause itself where it is of the list, its class where it is a code, else `other`.

    >>> bounded_cause("closed_4999"), bounded_cause("http_502"), bounded_cause("http_429"), bounded_cause("?")
    ('closed_4xxx', 'http_5xx', 'http_429', 'other')
    """
    if cause in _CAUSES:
        return cause
    if code := _CODE.fullmatch(cause):
        return f"{code[1]}_{code[2]}{'xxx' if code[1] == 'closed' else 'xx'}"
    return "other"


def bounded_causes(failures: Mapping[str, int]) -> Counter[str]:
    """Sum the counts by bounded cause."""
    total: Counter[str] = Counter()
    for cause, count in failures.items():
        total[bounded_cause(cause)] += count
    return total
