"""Rules of the user's own: a message when all that a rule names holds, once a crossing."""

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from liqtape.alarms.policy.messages import AlarmMessage
from liqtape.alarms.policy.phrases import linked, usd_words
from liqtape.alarmsettings import AlarmRule
from liqtape.engine.velocity import MARKET
from liqtape.events import LEVELS, VelocityMetrics

__all__ = ["RowsOf", "RuleCrossing", "RuleReading", "RuleWatch", "read_rule"]

RowsOf = Callable[[str, tuple[str, ...]], Sequence[VelocityMetrics]]
"""The rows of an instrument: over all venues where none is named, else of each of those."""


class RuleReading(Struct, frozen=True):
    """What a rule reads of an instrument; `left_usd` is what is missing to its `usd`."""

    rule: str
    instrument: str
    holds: bool
    usd: float
    count: int
    left_usd: float | None
    said: str


class RuleCrossing(Struct, frozen=True):
    """A rule that came to hold, with its message."""

    rule: AlarmRule
    message: AlarmMessage


def _sum(rows: Sequence[VelocityMetrics], field: str) -> float:
    return float(sum(getattr(row, field) for row in rows))


def read_rule(rule: AlarmRule, instrument: str, rows: Sequence[VelocityMetrics], breadth: int) -> RuleReading:
    """Return whether the rule holds for an instrument, `rows` being those of its venues, or of all together."""
    w = rule.window
    sides = (rule.side,) if rule.side is not None else ("long", "short")
    usd = sum(_sum(rows, f"{side}_usd_{w}s") for side in sides)
    count = int(sum(_sum(rows, f"{side}_count_{w}s") for side in sides))
    if rule.side is None and not rule.venues and rows:
        usd, count = (
            round(w * _sum(rows, f"usd_velocity_{w}s"), 6),
            int(_sum(rows, f"event_count_{w}s")),
        )  # unsided ones, too
    acceleration = _sum(rows, "acceleration")
    long_usd, short_usd = _sum(rows, f"long_usd_{w}s"), _sum(rows, f"short_usd_{w}s")
    both = long_usd + short_usd
    imbalance = abs(long_usd - short_usd) / both if both > 0.0 else None
    level = max((row.level for row in rows), key=LEVELS.index, default="NONE")
    checks = {
        f"level {level}": None if rule.level is None else LEVELS.index(level) >= LEVELS.index(rule.level),
        f"{count / w:.2f} liquidations/s over {w} s": None if rule.velocity is None else count / w >= rule.velocity,
        f"acceleration {acceleration:.2f}": None if rule.acceleration is None else acceleration >= rule.acceleration,
        f"{usd_words(usd)} in {w} s": None if rule.usd is None else usd >= rule.usd,
        "imbalance " + ("unknown" if imbalance is None else f"{imbalance:.2f}"): None
        if rule.imbalance is None
        else imbalance is not None and imbalance >= rule.imbalance,
        f"{breadth} instruments rising": None if rule.breadth is None else breadth >= rule.breadth,
    }
    asked = {said: holds for said, holds in checks.items() if holds is not None}
    left = None if rule.usd is None else max(0.0, rule.usd - usd)
    return RuleReading(rule.name, instrument, bool(rows) and all(asked.values()), usd, count, left, ", ".join(asked))


class RuleWatch:
    """Looks at rules once a second; a rule that holds is told once, and again after it did not hold and its cooldown.

    A rule that names no instruments looks at each that has events.
    """

    def __init__(self, rules: Iterable[AlarmRule], link: str = "", fired: dict[str, int] | None = None) -> None:
        self.rules = tuple(rules)
        self.fired = dict(fired or {})  # when each (rule, instrument) was last told
        self._link = link
        self._holding: set[str] = set()

    def look(self, now_ms: int, active: Iterable[str], rows_of: RowsOf, breadth: int) -> list[RuleCrossing]:
        """Return what came to hold."""
        crossings = []
        busy = sorted(active)
        for rule in self.rules:
            for instrument in rule.instruments or busy:
                reading = read_rule(rule, instrument, rows_of(instrument, rule.venues), breadth)
                name = f"{rule.name}/{instrument}"
                if not reading.holds:
                    self._holding.discard(name)
                    continue
                was_holding = name in self._holding
                self._holding.add(name)
                if not was_holding and now_ms - self.fired.get(name, -(1 << 62)) >= 1_000 * rule.cooldown:
                    self.fired[name] = now_ms
                    crossings.append(RuleCrossing(rule, self._message(rule, reading, now_ms)))
        if len(self.fired) > 10_000:
            longest_ms = max(round(1_000 * rule.cooldown) for rule in self.rules)
            self.fired = {name: at_ms for name, at_ms in self.fired.items() if at_ms > now_ms - longest_ms}
        return crossings

    def shift(self, by_ms: int) -> None:
        """Move when each was told: the clock of the evaluation took a step."""
        self.fired = {name: at_ms + by_ms for name, at_ms in self.fired.items()}

    def readings(self, active: Iterable[str], rows_of: RowsOf, breadth: int) -> list[RuleReading]:
        """Return what each rule reads now, of the instruments it names or that are active."""
        busy = sorted(active)
        return [
            read_rule(rule, instrument, rows_of(instrument, rule.venues), breadth)
            for rule in self.rules
            for instrument in rule.instruments or busy
        ]

    def _message(self, rule: AlarmRule, reading: RuleReading, now_ms: int) -> AlarmMessage:
        where = "all instruments" if reading.instrument == MARKET else reading.instrument
        link = linked(self._link, now_ms)
        lines = [
            f"Rule {rule.name}: {reading.said}.",
            *([f"Side: {rule.side}."] if rule.side else []),
            *([f"Venues: {', '.join(rule.venues)}."] if rule.venues else []),
            f"Told again at the earliest in {rule.cooldown:g} s, once it did not hold in between.",
            *([f"See {link}"] if link else []),
            "To mute: remove the rule from alerts.rules.",
        ]
        key = f"rule-{rule.name}-{reading.instrument}-{now_ms}"
        title = f"{rule.name}: {where}: {reading.said}"
        return AlarmMessage(
            f"{key}/1",
            "rule",
            "market",
            rule.severity,
            now_ms,
            title,
            "\n".join(lines),
            key,
            usd=reading.usd,
            count=reading.count,
            link=link,
        )
