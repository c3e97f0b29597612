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
    assert Faults(FAULTS, 1).delay_ms() == Faults(("late",), 1).delay_ms()  # the others' faults draw nothing here
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


@pytest.mark.parametrize("venue", ["okx", "hyperliquid"])
def test_broken_frames_of_the_younger_venues(venue: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        json.loads(garbage(venue, "torn", 5).body)
    for fault in ("unknown_topic", "wrong_types", "nan"):
        assert garbage(venue, fault, 5).fault == fault
        assert b"5" in garbage(venue, fault, 5).body
        json.loads(garbage(venue, fault, 5).body)


def test_very_late_ones_are_few_and_minutes_late_and_only_of_okx() -> None:
    faults = Faults(("very_late",), seed=1).of("okx")
    delays = [faults.delay_ms() for _ in range(1_000)]

    assert 10 < sum(delay > 0 for delay in delays) < 60
    assert all(delay == 0 or 60_000 <= delay <= 480_000 for delay in delays)
    assert not any(Faults(("very_late",), seed=1).of("hyperliquid").delay_ms() for _ in range(1_000))


def test_other_markets_have_dice_of_their_own() -> None:
    faults = Faults(("duplicate",), seed=1)
    before = [Faults(("duplicate",), seed=1).duplicates() for _ in range(1)]
    other = faults.of("okx")
    drawn = [other.duplicates() for _ in range(300)]

    assert [faults.duplicates()] == before
    assert drawn != [faults.duplicates() for _ in range(300)]


def test_first_again_is_of_okx() -> None:
    faults = Faults(("first_again",), seed=1)

    assert (faults.of("okx").repeats_last, faults.repeats_last) == (True, False)
    assert not Faults((), seed=1).of("okx").repeats_last
