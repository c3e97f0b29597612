"""Sealed hours in virtual time: a flipped bit is named and left out, with its time, and the rest is as it came."""

import pytest
from chaos.virtual.bugs import put_back
from chaos.virtual.execution import Outcome, execute
from chaos.virtual.minimise import kind_of
from chaos.virtual.scheme import Hazard, Scheme, scheme

_SEED = 6
_SECONDS = 760.0  # an hour lasts two minutes there, and is sealed six minutes later
_FLIPS = tuple(Hazard(at, "flip", "sealed", 0.0, number) for at, number in ((650.0, 3), (651.0, 60), (652.0, 700)))


def _befallen(*hazards: Hazard, bug: str = "") -> Outcome:
    burst = Hazard(20.0, "burst", "okx", 60.0, 1)
    with put_back(bug):
        return execute(Scheme(_SEED, _SECONDS, (burst, *hazards)), keeps_trace=True)


def test_what_is_rotten_is_left_out_and_all_else_is_there() -> None:
    whole, rotten = _befallen(), _befallen(*_FLIPS)
    assert whole.problems == rotten.problems == ()
    assert any(int(line.rpartition(" ")[2]) > 10 for line in whole.trace if " sealed " in line)
    assert whole.logged > rotten.logged > 10


def test_a_kill_while_it_seals_costs_nothing() -> None:
    kills = [Hazard(at, kind, "us", 1.0) for at, kind in ((602.03, "kill"), (611.07, "kill"), (640.0, "power"))]
    assert _befallen(*kills).problems == ()


@pytest.mark.parametrize("bug", ["rot-unnoticed", "rotten-is-covered"])
def test_a_bug_of_what_is_rotten_is_found(bug: str) -> None:
    assert kind_of(_befallen(*_FLIPS, bug=bug)) == "rotten"


def test_only_some_worlds_seal() -> None:
    assert not scheme(3).seals
    assert all(hazard.against != "sealed" for hazard in scheme(3).hazards)
    assert any(hazard.kind == "flip" for seed in range(6, 50, 7) for hazard in scheme(seed).hazards)
