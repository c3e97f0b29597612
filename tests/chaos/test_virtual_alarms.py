"""Alarm channels in virtual time: each message arrives, once as far as we know, whatever the far end does."""

import pytest
from chaos.virtual.bugs import put_back
from chaos.virtual.execution import Outcome, execute
from chaos.virtual.scheme import ALARM_FAULTS, Hazard, Scheme, scheme

_SECONDS = 360.0
_OTHERS = (
    Hazard(20.0, "burst", "binance", 90.0, 4),
    Hazard(30.0, "silence", "okx", 150.0),
    Hazard(118.0, "kill", "us", 2.0),
)


def _befallen(fault: str, bug: str = "") -> Outcome:
    denied = Hazard(15.0, "deny", "channel", 60.0, ALARM_FAULTS.index(fault))
    with put_back(bug):
        return execute(Scheme(6, _SECONDS, (denied, *_OTHERS)), keeps_trace=True)


def _keys(outcome: Outcome) -> list[str]:
    told = [line.partition(" alarm taken ")[2] for line in outcome.trace]
    return [text.rpartition(" ")[0] for text in told if text]


@pytest.mark.parametrize("fault", ["http_404", "taken_reset"])
def test_messages_arrive_whatever_the_end_does(fault: str) -> None:
    outcome = _befallen(fault)
    assert outcome.problems == ()
    assert len(set(_keys(outcome))) >= 4
    assert (len(set(_keys(outcome))) < len(_keys(outcome))) == (fault == "taken_reset")  # with the same key


@pytest.mark.parametrize(
    ("bug", "kind"),
    [
        ("sent-is-forgotten", "alarm twice"),
        ("failed-is-sent", "alarm lost"),
        ("raised-anew", "alarm raised twice"),
        ("writing-is-trouble", "alarm lasts"),
    ],
)
def test_a_bug_of_alarms_is_found(bug: str, kind: str) -> None:
    found = [problem.split(": ")[1] for problem in _befallen("http_500", bug).problems]
    assert kind in found


def test_only_some_worlds_have_a_channel() -> None:
    assert not scheme(3).has_channel
    assert all(hazard.against != "channel" for hazard in scheme(3).hazards)
    assert any(hazard.kind == "deny" for seed in range(6, 46, 8) for hazard in scheme(seed).hazards)
