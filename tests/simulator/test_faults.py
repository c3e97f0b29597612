import json

import pytest

from liqtape.simulator.faults import FAULTS, Faults
from liqtape.simulator.garbage import garbage


def test_no_faults_strike_unless_named() -> None:
    faults = Faults((), seed=1)

    assert not any(faults.duplicates() for _ in range(1_000))
    assert not any(faults.delay_ms() for _ in range(1_000))
    assert not faults.cuts(1e9)
    assert faults.garbage(1e9) is None


def test_named_faults_strike_sometimes_and_the_same_with_the_same_seed() -> None:
    def run(seed: int) -> tuple[list[bool], list[int]]:
        faults = Faults(FAULTS, seed)
        return [faults.duplicates() for _ in range(500)], [faults.delay_ms() for _ in range(500)]

    duplicates, delays = run(1)
    assert run(1) == (duplicates, delays)
    assert run(2) != (duplicates, delays)
    assert 20 < sum(duplicates) < 90
    assert all(0 <= delay <= 2_000 for delay in delays)
    assert 50 < sum(delay > 0 for delay in delays) < 150


def test_cut_comes_once_in_the_middle() -> None:
    faults = Faults(("cut",), seed=1)

    assert [faults.cuts(at_ms) for at_ms in (0, 11_999, 12_000, 12_020)] == [False, False, True, False]


def test_garbage_is_only_of_the_named_kind() -> None:
    faults = Faults(("nan", "duplicate"), seed=1)

    assert {faults.garbage(at_ms) for at_ms in range(0, 10_000, 20)} == {None, "nan"}


def test_unknown_fault_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ValueError, match="earthquake: known are duplicate, cut"):
        Faults(("earthquake",), seed=1)


@pytest.mark.parametrize("venue", ["binance", "bybit"])
def test_torn_is_no_json_and_the_others_are(venue: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        json.loads(garbage(venue, "torn", 5).body)
    for fault in ("unknown_topic", "wrong_types", "nan"):
        assert garbage(venue, fault, 5).fault == fault
        assert 5 in json.loads(garbage(venue, fault, 5).body).values()
