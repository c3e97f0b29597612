"""Messages about ourselves: what is wrong is told once it has lasted, and so is its end."""

from collections.abc import Mapping

from msgspec import Struct

from liqtape.alarms.policy.messages import AlarmMessage
from liqtape.alarms.policy.phrases import seconds_words

__all__ = ["Condition", "ConditionWatch"]

_LASTS_MS = 30_000  # a reconnect is no news
_WELL_MS = 60_000


class Condition(Struct):
    """Something wrong: since when, last seen when, and whether that was told."""

    subject: str
    reason: str
    since_ms: int
    last_ms: int
    is_told: bool = False


class ConditionWatch:
    """Remembers what is wrong; times are our own, so that a clock of a venue moves nothing."""

    def __init__(self, conditions: Mapping[str, Condition] | None = None) -> None:
        self.conditions = dict(conditions or {})

    def look(self, now_ms: int, wrong: Mapping[str, str]) -> list[AlarmMessage]:
        """Take in what is wrong now, (subject: reason); returns what is to be told of it."""
        messages = []
        self._begin_again(now_ms)
        for subject, reason in sorted(wrong.items()):
            known = self.conditions.get(subject)
            if known is None:
                known = self.conditions[subject] = Condition(subject, reason, now_ms, now_ms)
            known.last_ms, known.reason = now_ms, reason
            if not known.is_told and now_ms - known.since_ms >= _LASTS_MS:
                known.is_told = True
                messages.append(_message(known, now_ms))
        for subject, known in list(self.conditions.items()):
            if subject in wrong:
                continue
            if not known.is_told:
                del self.conditions[subject]
            elif now_ms - known.last_ms >= _WELL_MS:
                del self.conditions[subject]
                messages.append(_message(known, now_ms, is_over=True))
        return messages

    def _begin_again(self, now_ms: int) -> None:
        """Let nothing wait for a time that is far off: the wall clock may have been set back since the last run.

        What was told keeps its beginning, by which its end is known to belong to it.
        """
        for known in self.conditions.values():
            known.last_ms = min(known.last_ms, now_ms)
            if not known.is_told:
                known.since_ms = min(known.since_ms, now_ms)


def _message(condition: Condition, now_ms: int, *, is_over: bool = False) -> AlarmMessage:
    lasted = seconds_words(max(0, condition.last_ms - condition.since_ms))
    thread = f"service-{condition.since_ms}-{condition.subject}"
    if is_over:
        title, text = f"{condition.subject}: well again", f"After {lasted}. It was: {condition.reason}"
    else:
        title, text = f"{condition.subject}: {condition.reason}", f"For {lasted} so far. Its end will be told."
    return AlarmMessage(
        f"{thread}/{2 if is_over else 1}",
        "well" if is_over else "trouble",
        "service",
        "NONE",
        now_ms,
        title,
        text,
        thread,
        2 if is_over else 1,
        condition.since_ms,
    )
