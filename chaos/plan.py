"""What happens in a scenario: drawn from its seed alone, so that a seed says everything."""

import random
from collections.abc import Mapping

from msgspec import Struct

from liqtape.simulator.dialects import DIALECTS
from liqtape.simulator.faults import CLOSE_CODES
from liqtape.simulator.incidents import STATUSES
from liqtape.venues import VENUES as LIVE
from liqtape.venues.base import WatchesAccounts

__all__ = ["SILENCE_LIMIT", "VENUES", "Plan", "Strike", "plan"]

VENUES = tuple(DIALECTS)

SILENCE_LIMIT = 2.0
"""Seconds without data that make a feed stalled, here; the venues' own are 15 and more."""

_NOTICED = 0.5
"""Until a silence that is over the limit is seen, on a busy machine."""

SECONDS = 10.0
"""In which strikes fall and end."""

_MARKETS = ("cascade", "cascade", "cascade", "calm", "block")
_GARBLED = (
    "duplicate", "torn", "unknown_topic", "wrong_types", "nan", "late", "very_late", "first_again", "reorder",
    "stale_snapshot",
)  # fmt: skip
_LONG = ("black_hole", "half_open", "stall", "http_error", "refuse")
_SHORT = ("cut", "reset", "bad_close", "notice")
_SLOW = ("slow", "throttle", "drip", "no_pong")
_OF_SINK = ("cut", "reset", "half_open", "black_hole", "slow", "throttle", "restart", "restart")


class Strike(Struct, frozen=True):
    """One fault: at `at` seconds of the scenario, for `seconds`, against a venue, `redis`, `postgres` or `worker`."""

    at: float
    kind: str
    against: str
    seconds: float = 0.0
    number: int = 0
    """Close code, HTTP status, or bytes/s."""

    @property
    def is_outage(self) -> bool:
        """Whether a connection is lost for certain, however short the strike is."""
        return self.against in VENUES and self.kind in (*_SHORT, "http_error", "refuse", "half_open")

    @property
    def is_long(self) -> bool:
        """Whether nothing comes for longer than the silence limit."""
        return (
            self.against in VENUES
            and self.kind in _LONG
            and self.kind != "half_open"
            and self.seconds > SILENCE_LIMIT + _NOTICED
        )


class Plan(Struct, frozen=True):
    """One scenario."""

    seed: int
    market: str
    speed: float
    faults: tuple[str, ...]
    strikes: tuple[Strike, ...]
    tls: bool
    redundancy: Mapping[str, int]
    skew_ms: Mapping[str, int]
    """How far each venue's clock goes before that of this machine, at first."""
    has_postgres: bool = False
    seconds: float = SECONDS

    @property
    def shift_ms(self) -> int:
        """How far event time goes before the clock of this machine: the middle venue counts."""
        skews = sorted(self.skew_ms.values())
        return min(skews[(len(skews) - 1) // 2 : len(skews) // 2 + 1], key=abs)

    @property
    def steps(self) -> list[Strike]:
        """Those by which a venue's clock is set to another time."""
        return [strike for strike in self.strikes if strike.kind == "clock"]

    def skew_at(self, venue: str, at: float) -> int:
        """How far the venue's clock goes before that of this machine, `at` seconds after the beginning."""
        return self.skew_ms[venue] + sum(s.number for s in self.steps if s.against == venue and s.at <= at)

    def is_off(self, venue: str) -> bool:
        """Whether the venue's clock is not always that of the others."""
        return any(step.against == venue for step in self.steps) or abs(self.skew_ms[venue] - self.shift_ms) > 500


def plan(seed: int) -> Plan:
    """The scenario of that seed."""
    dice = random.Random(f"chaos:{seed}")
    strikes = [strike for venue in VENUES for strike in _of_venue(dice, venue)]
    strikes += _of_sink(dice, "redis")
    has_postgres = dice.random() < 0.3
    if has_postgres:
        strikes += _of_sink(dice, "postgres")
    if dice.random() < 0.4:
        strikes.append(Strike(dice.uniform(2.0, 8.0), "kill", "worker", dice.uniform(0.2, 2.0)))
    more = random.Random(f"chaos clocks:{seed}")
    skew_ms = _skew(dice) if more.random() < 0.5 else _far_skew(more)
    is_stepping = more.random() < 0.4 and not any(skew_ms.values())
    if is_stepping:
        strikes = _stepping(more, strikes)
    if more.random() < 0.3:
        strikes.append(Strike(more.uniform(1.0, 8.0), "wall", "worker", 0.0, more.choice((1, -1)) * 3_600_000))
    refusals = ("refused_topic",) if random.Random(f"chaos refusals:{seed}").random() < 0.25 else ()
    return Plan(
        seed=seed,
        market=dice.choice(_MARKETS),
        speed=dice.choice((1.0, 2.0, 4.0)),
        # What is late by a clock that was set meanwhile bears a time that nobody can know.
        faults=tuple(f for f in sorted(dice.sample(_GARBLED, dice.randint(0, 5))) if not (is_stepping and "late" in f))
        + refusals,
        strikes=tuple(sorted(strikes, key=lambda strike: strike.at)),
        tls=dice.random() < 0.25,
        redundancy={venue: 2 if dice.random() < 0.2 and not _watches_accounts(venue) else 1 for venue in VENUES},
        skew_ms=skew_ms,
        has_postgres=has_postgres,
    )


def _watches_accounts(venue: str) -> bool:
    """Whether the venue is seen in the fills of accounts, which one connection subscribes."""
    return isinstance(LIVE[venue], WatchesAccounts)


def _of_venue(dice: random.Random, venue: str) -> list[Strike]:
    """None, one or two, the second when the first is long over."""
    strikes: list[Strike] = []
    at = dice.uniform(0.5, 4.0)
    for _ in range(dice.choice((0, 1, 1, 2))):
        kind = dice.choice(dice.choice((_LONG, _SHORT, _SLOW)))
        seconds = dice.uniform(0.3, 5.0)
        if kind in _SHORT:
            seconds = dice.uniform(0.1, 1.0)
        number = {"bad_close": dice.choice(CLOSE_CODES), "http_error": dice.choice(STATUSES)}.get(kind, 0)
        if kind == "throttle":
            number = dice.choice((2_000, 8_000, 30_000))
        if at + seconds > SECONDS:
            break
        strikes.append(Strike(at, kind, venue, seconds, number))
        at += seconds + dice.uniform(2.0, 4.0)
    return strikes


def _of_sink(dice: random.Random, sink: str) -> list[Strike]:
    if dice.random() < 0.5:
        return []
    kind = dice.choice(_OF_SINK)
    number = 2_000 if kind == "throttle" else 0
    return [Strike(dice.uniform(1.0, 6.0), kind, sink, dice.uniform(0.3, 3.0), number)]


def _skew(dice: random.Random) -> dict[str, int]:
    """Mostly none; else one venue behind, or our own clock wrong, which makes all of them so."""
    drawn = dice.random()
    if drawn < 0.7:
        return dict.fromkeys(VENUES, 0)
    if drawn < 0.85:
        return dict.fromkeys(VENUES, 0) | {dice.choice(VENUES): -dice.randint(500, 5_000)}
    return dict.fromkeys(VENUES, dice.randint(-5_000, 5_000))


def _far_skew(dice: random.Random) -> dict[str, int]:
    """None, one venue far off either way, or our own clock, which makes all of them so."""
    drawn, far = dice.random(), dice.choice((-1, 1)) * dice.choice((1_000, 5_000, 60_000, 3_600_000))
    if drawn < 0.4:
        return dict.fromkeys(VENUES, 0)
    if drawn < 0.8:
        return dict.fromkeys(VENUES, 0) | {dice.choice(VENUES): far}
    return dict.fromkeys(VENUES, far)


def _stepping(dice: random.Random, strikes: list[Strike]) -> list[Strike]:
    """One venue's clock steps, early enough to be understood before the end.

    Nothing else befalls that venue, nor the worker: of a clock that is set back while nobody looks no stamp tells
    whether it was seen.
    """
    venue = dice.choice(VENUES)
    by_ms = dice.choice((-1, 1)) * dice.choice((10_000, 60_000, 3_600_000))
    others = [strike for strike in strikes if strike.against not in {venue, "worker"}]
    return [*others, Strike(dice.uniform(1.0, 2.5), "clock", venue, 0.0, by_ms)]
