"""PostgreSQL in virtual time: what the sink promises holds whatever befalls the server, and what breaks it is found."""

import pytest
from chaos.virtual.bugs import put_back
from chaos.virtual.execution import Outcome, execute
from chaos.virtual.minimise import kind_of
from chaos.virtual.scheme import POSTGRES_FAULTS, Hazard, Scheme, parsed, scheme

_SHORT = 360.0
_SEED = 2


def _befallen(fault: str, *others: Hazard, bug: str = "") -> Outcome:
    hazards = (Hazard(20.0, "burst", "binance", 90.0, 4), *others)
    hazards += (Hazard(30.0, "ill", "postgres", 60.0, POSTGRES_FAULTS.index(fault)),)
    with put_back(bug):
        return execute(Scheme(_SEED, _SHORT, hazards), keeps_trace=True)


@pytest.mark.parametrize("fault", ["answerless", "unplugged", "failover"])
def test_each_event_of_the_log_is_on_the_server_once(fault: str) -> None:
    outcome = _befallen(fault)
    assert outcome.problems == ()
    assert outcome.logged > 100
    rows = sum(" server row " in line for line in outcome.trace)
    assert rows == outcome.logged


def test_a_position_that_is_committed_without_its_events_is_found() -> None:
    outcome = _befallen("cut", bug="position-alone")
    assert kind_of(outcome) == "postgres lacks"


def test_a_transaction_that_the_server_keeps_for_ever_is_found() -> None:
    assert kind_of(_befallen("unplugged", bug="locks-for-ever")) == "not well"


def test_a_spell_that_the_log_lost_and_the_server_keeps_is_found() -> None:
    hazards = "117.782:cut:bybit:0.000:5 262.785:freeze:us:74.751:0 309.533:rot:us:7.896:0"
    with put_back("spell-not-forgotten"):
        found = execute(Scheme(27, 578.0, parsed(hazards)))
    assert kind_of(found) == "postgres coverage"
    assert execute(found.scheme).problems == ()


def test_a_killed_service_goes_on_behind_what_the_server_has() -> None:
    outcome = _befallen("answerless", Hazard(50.0, "kill", "us", 5.0), Hazard(95.0, "power", "us", 2.0))
    assert outcome.problems == ()


def test_worlds_that_had_no_server_are_what_they_were() -> None:
    assert not scheme(3).has_postgres
    assert all(hazard.against != "postgres" for hazard in scheme(3).hazards)
    assert any(hazard.against == "postgres" for seed in range(2, 42, 5) for hazard in scheme(seed).hazards)
