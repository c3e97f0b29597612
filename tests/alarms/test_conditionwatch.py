"""What is wrong with the service itself, told once it has lasted, and its end."""

from liqtape.alarms.policy.conditionwatch import ConditionWatch

T = 1_790_000_000_000
HOUR_MS = 3_600_000


def _titles(watch: ConditionWatch, at_ms: int, **wrong: str) -> list[str]:
    return [message.title for message in watch.look(at_ms, wrong)]


def test_an_end_is_told_though_the_wall_clock_was_set_back_between_two_runs() -> None:
    """Seen in virtual time: what was wrong before the restart lasted for another hour."""
    before = ConditionWatch()
    assert _titles(before, T, bybit="waiting") == []
    assert _titles(before, T + 30_000, bybit="waiting") == ["bybit: waiting"]

    after = ConditionWatch(before.conditions)
    assert _titles(after, T - HOUR_MS) == []
    (message,) = after.look(T - HOUR_MS + 60_000, {})
    assert (message.title, message.thread) == ("bybit: well again", f"service-{T}-bybit")
    assert after.conditions == {}


def test_what_was_not_told_yet_is_told_though_the_wall_clock_was_set_back() -> None:
    before = ConditionWatch()
    assert _titles(before, T, bybit="waiting") == []

    after = ConditionWatch(before.conditions)
    assert _titles(after, T - HOUR_MS, bybit="waiting") == []
    assert _titles(after, T - HOUR_MS + 30_000, bybit="waiting") == ["bybit: waiting"]
