import random
from pathlib import Path

import pytest
from chaos import fuzz as module
from chaos.fuzz import fuzz, mutated, report


def test_a_thousand_broken_inputs_each_break_nothing(tmp_path: Path) -> None:
    outcomes = fuzz(12_000, seed=1, directory=tmp_path)

    failures = [failure for outcome in outcomes.values() for failure in outcome.failures]
    assert not failures
    assert {"binance frames", "bybit decode", "okx listing", "okx backfill", "configuration"} <= set(outcomes)
    for name, outcome in outcomes.items():
        if name.endswith("frames"):  # half of what is sent gets past the first door, or nothing is tested behind it
            assert outcome.results["events"] > outcome.inputs * 0.15, name


def test_the_same_seed_makes_the_same_inputs() -> None:
    samples = [b'{"a":1,"b":"2"}', b'{"c":[3]}']

    def made(seed: int) -> list[bytes]:
        dice = random.Random(seed)
        return [mutated(samples[0], samples, dice) for _ in range(200)]

    assert made(1) == made(1) != made(2)
    assert len(set(made(1))) > 100


def test_an_error_that_is_not_documented_is_shown_with_its_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(payload: bytes) -> str:
        raise KeyError(len(payload))

    monkeypatch.setattr(module, "targets", lambda _: {"broken": ([b"{}"], read)})
    outcomes = fuzz(20, seed=1, directory=tmp_path)

    assert outcomes["broken"].results["FAILED"] == 20
    assert "KeyError" in report(outcomes)
