"""What befalls the service in one execution: drawn from a seed, and a value, so that a part of it can be left out."""

import random
from collections.abc import Callable

from msgspec import Struct

__all__ = [
    "ALARM_FAULTS",
    "CAUSES",
    "LONGEST_SILENCE",
    "POSTGRES_FAULTS",
    "VENUES",
    "Hazard",
    "Scheme",
    "parsed",
    "scheme",
]

VENUES = ("binance", "bybit", "okx", "hyperliquid")

LONGEST_SILENCE = 60.0
"""Seconds after which any silent feed of these is known to be lost: the longest silence limit but one, and more."""

_CALM_SECONDS = 240.0  # at the end, in which all is to become well
_STATUSES = (403, 418, 429, 500, 503)
CAUSES = ("closed_1006", "closed_1012", "closed_1000", "closed_4004", "reset", "protocol", "tls")
POSTGRES_FAULTS = (
    *("dead", "starting", "stuck", "readonly", "full", "slow", "cut", "answerless", "unplugged", "failover"),
)
ALARM_FAULTS = (
    *("refused", "hanging", "http_500", "http_429", "http_404", "taken_500", "taken_hanging", "taken_reset"),
)
_STEPS_MS = (-3_600_000, -60_000, -10_000, -3_000, 3_000, 10_000, 60_000, 3_600_000)


class Hazard(Struct, frozen=True):
    """At `at` seconds something befalls a venue, or what `against` names else, for so many seconds.

    Else that is `redis`, `postgres`, `disk`, `sealed` files, the `channel` of alarms, or `us`.
    """

    at: float
    kind: str
    against: str
    seconds: float = 0.0
    number: int = 0

    def __str__(self) -> str:
        return f"{self.at:.3f}:{self.kind}:{self.against}:{self.seconds:.3f}:{self.number}"


class Scheme(Struct, frozen=True):
    """One execution: the seed of all dice, how long it lasts, and the hazards, which may be fewer than were drawn."""

    seed: int
    seconds: float
    hazards: tuple[Hazard, ...]

    @property
    def venues(self) -> tuple[str, ...]:
        """Who is there; the last one is in every fourth world."""
        return VENUES if self.seed % 4 == 0 else VENUES[:3]

    @property
    def has_postgres(self) -> bool:
        """Whether the history goes on to a PostgreSQL server."""
        return _has_postgres(self.seed)

    @property
    def seals(self) -> bool:
        """Whether closed hours, which are short there, are sealed into files."""
        return _seals(self.seed)

    @property
    def has_channel(self) -> bool:
        """Whether alarms go to a webhook, and a rule makes many of them."""
        return _has_channel(self.seed)

    @property
    def has_redis(self) -> bool:
        """Whether there is a Redis; keeping it up to date takes half as long as all the rest."""
        return self.seed % 6 == 0

    def line(self) -> str:
        """Return the options that repeat it."""
        return f"--seed {self.seed} --seconds {self.seconds:g} --only '{' '.join(map(str, self.hazards))}'"


def _has_postgres(seed: int) -> bool:
    return seed % 5 == 2


def _has_channel(seed: int) -> bool:
    return seed % 8 == 6


def _seals(seed: int) -> bool:
    return seed % 7 == 6


def scheme(seed: int, seconds: float = 1_200.0) -> Scheme:
    """Return what the seed says."""
    dice = random.Random(f"scheme:{seed}")
    hazards: list[Hazard] = []
    clock = dice.choices(("right", "skew", "step"), (5, 3, 3))[0]
    victim = VENUES[3] if seed % 4 == 0 and dice.random() < 0.5 else dice.choice(VENUES[:3])
    if clock == "skew":
        hazards.append(Hazard(0.0, "skew", victim, number=dice.choice(_STEPS_MS)))
    elif clock == "step":
        hazards.append(_step(dice, victim, seconds))
    until = seconds - _CALM_SECONDS
    for kind, against in _drawn(dice, is_stepping=clock == "step", has_redis=seed % 6 == 0):
        at = dice.uniform(0.0, until)
        hazard = _MADE[kind](dice, at, against)
        if hazard.at + hazard.seconds <= until and not (clock == "step" and against == victim):
            hazards.append(hazard)
    for wall in [hazard for hazard in hazards if hazard.kind == "wall"]:
        if dice.random() < 0.5:  # who is started again has only the wall to tell the time
            at = round(wall.at + dice.uniform(20.0, 280.0), 3)
            hazards += [Hazard(at, "kill", "us", 2.0)] if at < until else []
    hazards += _of_servers(seed, until)
    return Scheme(seed, seconds, tuple(sorted(hazards, key=lambda hazard: hazard.at)))


def _of_servers(seed: int, until: float) -> list[Hazard]:
    """Draw what came to the world later, with dice of its own: so what a seed was before it still is."""
    found: list[Hazard] = []
    if _has_postgres(seed):
        dice = random.Random(f"postgres hazards:{seed}")
        found += [_MADE["ill"](dice, dice.uniform(0.0, until), "postgres") for _ in range(dice.randint(1, 5))]
    if _seals(seed):
        dice = random.Random(f"sealed hazards:{seed}")
        found += [_MADE["flip"](dice, dice.uniform(until / 2, until), "sealed") for _ in range(dice.randint(0, 4))]
    if _has_channel(seed):
        dice = random.Random(f"channel hazards:{seed}")
        found += [_MADE["deny"](dice, dice.uniform(0.0, until), "channel") for _ in range(dice.randint(1, 6))]
    return [hazard for hazard in found if hazard.at + hazard.seconds <= until]


def _step(dice: random.Random, victim: str, seconds: float) -> Hazard:
    """Draw when a venue's clock steps, often soon after it has told of its past, which was by the clock before."""
    if victim == VENUES[3] and dice.random() < 0.7:
        return Hazard(round(dice.uniform(8.0, 18.0), 3), "step", victim, number=_STEPS_MS[0])
    return Hazard(round(dice.uniform(200.0, seconds / 2), 3), "step", victim, number=dice.choice(_STEPS_MS))


def parsed(text: str) -> tuple[Hazard, ...]:
    """Return the hazards of a line that `Scheme.line` wrote."""
    hazards = []
    for one in text.split():
        at, kind, against, seconds, number = one.split(":")
        hazards.append(Hazard(float(at), kind, against, float(seconds), int(number)))
    return tuple(hazards)


def _drawn(dice: random.Random, *, is_stepping: bool, has_redis: bool) -> list[tuple[str, str]]:
    """Each seed has some of the kinds only: what always happens together hides what happens alone."""
    of_venue = dice.sample(sorted(_OF_VENUE), dice.randint(1, 6))
    of_us = [kind for kind in ("kill", "power", "freeze", "wall", "rot") if dice.random() < 0.35]
    if is_stepping:  # of a clock that is set while nobody looks no stamp tells whether it was seen
        of_us = [kind for kind in of_us if kind == "freeze"]
    drawn = [(dice.choice(of_venue), dice.choice(VENUES)) for _ in range(dice.randint(2, 14))]
    drawn += [(dice.choice(of_us), "us") for _ in range(dice.randint(1, 4)) if of_us]
    drawn += [("away", "redis") for _ in range(dice.randint(1, 3)) if has_redis]
    drawn += [("bad", "disk") for _ in range(dice.choice((0, 0, 1, 2)))]
    return drawn


def _lasting(kind: str, least: float, most: float, numbers: tuple[int, ...] = (0,)) -> Callable[..., Hazard]:
    def made(dice: random.Random, at: float, against: str) -> Hazard:
        return Hazard(round(at, 3), kind, against, round(dice.uniform(least, most), 3), dice.choice(numbers))

    return made


_OF_VENUE: dict[str, Callable[..., Hazard]] = {
    "cut": _lasting("cut", 0.0, 0.0, tuple(range(len(CAUSES)))),
    "silence": _lasting("silence", LONGEST_SILENCE + 90.0, 300.0),
    "stall": _lasting("stall", 0.5, 40.0),
    "deaf": _lasting("deaf", 1.0, 200.0),
    "http": _lasting("http", 1.0, 120.0, _STATUSES),
    "slow": _lasting("slow", 10.0, 200.0, (500, 2_000, 8_000)),
    "duplicate": _lasting("duplicate", 30.0, 600.0),
    "reorder": _lasting("reorder", 30.0, 600.0),
    "refuse": _lasting("refuse", 0.0, 0.0, (1, 2, 6)),
    "rest": _lasting("rest", 30.0, 600.0, (0, 1, 2, 3, 4)),
    "burst": _lasting("burst", 5.0, 60.0, (1, 4, 10)),
}
_MADE = _OF_VENUE | {
    "kill": _lasting("kill", 0.5, 120.0),
    "power": _lasting("power", 1.0, 120.0),
    "rot": _lasting("rot", 1.0, 60.0),
    "freeze": _lasting("freeze", 2.0, 90.0),
    "wall": _lasting("wall", 0.0, 0.0, (-3_600_000, -3_600_000, -60_000, 60_000, 3_600_000)),
    "ill": _lasting("ill", 1.0, 120.0, tuple(range(len(POSTGRES_FAULTS)))),
    "deny": _lasting("deny", 1.0, 120.0, tuple(range(len(ALARM_FAULTS)))),
    "flip": _lasting("flip", 0.0, 0.0, tuple(range(1_000))),
    "away": _lasting("away", 1.0, 120.0, (0, 1, 2, 3, 4)),
    "bad": _lasting("bad", 1.0, 90.0, (0, 1, 2, 3)),
}
