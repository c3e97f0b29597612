"""Scores of alarms against cascades: each episode of alarms meets at most one onset."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from statistics import median

from msgspec import Struct

__all__ = ["MatchRule", "AlarmScores", "Onset", "episodes_of", "score_alarms"]


class MatchRule(Struct, frozen=True):
    """When an alarm meets a cascade: from `lead_max_ms` before its begin to `late_max_ms` after its end.

    Alarms no more than `refractory_ms` apart are one episode, which stands at its first.
    """

    lead_max_ms: int = 120_000
    late_max_ms: int = 30_000
    refractory_ms: int = 60_000


class Onset(Struct, frozen=True):
    """A cascade that was to be found."""

    start_ms: int
    end_ms: int
    severity: int = 2


class AlarmScores(Struct, frozen=True):
    """What alarms found. `leads_ms` has a place for each onset: how long before it the alarm came, negative if later.

    An episode that met no onset is false; `repeated` counts those false ones that lie within a cascade which another
    episode had met.
    """

    episodes_ms: tuple[int, ...]
    leads_ms: tuple[int | None, ...]
    days: float
    false_ms: tuple[int, ...]
    repeated: int

    @property
    def false(self) -> int:
        """How many episodes met no onset."""
        return len(self.false_ms)

    @property
    def met(self) -> int:
        """How many onsets were met."""
        return sum(lead is not None for lead in self.leads_ms)

    @property
    def recall(self) -> float | None:
        """The share of the onsets that was met."""
        return self.met / len(self.leads_ms) if self.leads_ms else None

    @property
    def precision(self) -> float | None:
        """The share of the episodes that met an onset."""
        return self.met / len(self.episodes_ms) if self.episodes_ms else None

    @property
    def false_a_day(self) -> float | None:
        """False episodes a watched day."""
        return self.false / self.days if self.days else None

    @property
    def median_lead_ms(self) -> float | None:
        """The median lead of the onsets that were met."""
        found = [lead for lead in self.leads_ms if lead is not None]
        return float(median(found)) if found else None


def score_alarms(onsets: Sequence[Onset], alarms_ms: Sequence[int], days: float, rule: MatchRule) -> AlarmScores:
    """Return the scores of alarms in order of time against onsets in order of time, apart, over so many watched days.

    >>> found = score_alarms([Onset(5_000, 9_000)], [8_000, 8_500, 900_000], 1.0, MatchRule())
    >>> found.recall, found.false, found.leads_ms
    (1.0, 1, (-3000,))
    """
    episodes = episodes_of(alarms_ms, rule.refractory_ms)
    is_used = [False] * len(episodes)
    leads: list[int | None] = []
    for onset in onsets:
        first = bisect_left(episodes, onset.start_ms - rule.lead_max_ms)
        last_ms = onset.end_ms + rule.late_max_ms
        found = None
        for place in range(first, len(episodes)):
            if episodes[place] > last_ms:
                break
            if not is_used[place]:
                found = place
                is_used[place] = True
                break
        leads.append(None if found is None else onset.start_ms - episodes[found])
    false = tuple(at_ms for at_ms, used in zip(episodes, is_used, strict=True) if not used)
    repeated = sum(_is_within(at_ms, onsets, rule) for at_ms in false)
    return AlarmScores(tuple(episodes), tuple(leads), days, false, repeated)


def episodes_of(alarms_ms: Sequence[int], refractory_ms: int) -> list[int]:
    """Return where episodes begin: an alarm more than `refractory_ms` after the one before begins another."""
    found: list[int] = []
    last_ms: int | None = None
    for at_ms in alarms_ms:
        if last_ms is None or at_ms - last_ms > refractory_ms:
            found.append(at_ms)
        last_ms = at_ms
    return found


def _is_within(at_ms: int, onsets: Sequence[Onset], rule: MatchRule) -> bool:
    place = bisect_right(onsets, at_ms + rule.lead_max_ms, key=lambda one: one.start_ms)
    return place > 0 and at_ms <= onsets[place - 1].end_ms + rule.late_max_ms
