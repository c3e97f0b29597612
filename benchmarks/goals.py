"""The targets, a row each, as the figures of this project are judged by them."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from benchmarks.measure import Figure, short

__all__ = ["GOALS", "Goal", "Row", "rows"]


class Goal(Struct, frozen=True):
    """One target; the figures that bear its `key` measure it, in the order of `parts` where it has several."""

    key: str
    text: str
    target: str


class Row(Struct, frozen=True):
    """A target, and what was measured for it: the medians, and whether all of them meet it."""

    goal: Goal
    measured: str
    verdict: str


GOALS = (
    Goal(
        "decode",
        "decode + normalise + notional of a one-event frame against `json.loads` alone "
        "(Binance, Bybit, OKX, Hyperliquid each)",
        "2.8x faster",
    ),
    Goal("scan", "engine per event against a bounded-deque full scan (3,000 events, four windows)", "300x faster"),
    Goal(
        "growth",
        "engine per event at 1,000,000 against 300 events in the window; at 1,000 instruments against 1",
        "at most 1.5x; at most 2x",
    ),
    Goal("floor", "engine per event against the same arithmetic in a bare C loop", "at most 50x plain"),
    Goal("exact", "USD sums: error, and residue after the window empties", "exactly 0, any arrival order"),
    Goal(
        "flood",
        "flood through TLS sockets on loopback: bytes in to all windows, identity, ledger, default levels, tap before "
        "the callback queue, one core; CPU per event against one `json.loads` of the same bytes",
        "250,000 events/s; at most 2x",
    ),
    Goal("flood with Redis", "the same with Redis on", "220,000 events/s"),
    Goal(
        "callback",
        "paced 2,000 events/s over TLS: socket to callback, p50, against a bare blocking socket that only decodes",
        "at most 1.5x",
    ),
    Goal(
        "acknowledged",
        "change to acknowledged in Redis, p50 at 2,000 events/s, against one PING round trip of redis-py",
        "at most 1x",
    ),
    Goal("receive", "WebSocket receive CPU per frame, TLS flood, against `websockets`", "5x less"),
    Goal(
        "batch",
        "batch path, 10 million events, five windows with sums: one instrument; mixed over 1,000 instruments",
        "8 million events/s; 3 million",
    ),
    Goal("idle", "idle cost of the process with four venues connected and quiet", "< 1 % of a core"),
)


def rows(figures: Iterable[Figure]) -> list[Row]:
    """The targets that were measured, in their order."""
    of: dict[str, list[Figure]] = {}
    for one in figures:
        if one.goal:
            of.setdefault(one.goal, []).append(one)
    if unknown := of.keys() - {goal.key for goal in GOALS}:
        raise ValueError(f"no such goal: {', '.join(unknown)}")
    return [Row(goal, _measured(of[goal.key]), _verdict(of[goal.key])) for goal in GOALS if goal.key in of]


def _measured(figures: Sequence[Figure]) -> str:
    return "; ".join(f"{short(one.median)} {one.unit}" for one in figures)


def _verdict(figures: Sequence[Figure]) -> str:
    return "missed" if any(one.verdict == "missed" for one in figures) else "met"
