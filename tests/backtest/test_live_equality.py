"""What a backtest says of a past is what a running service says while it happens, byte for byte."""

from pathlib import Path

import msgspec
from tests.backtest.pasts import BEGIN_MS, Row, write

from liqtape.backtest.candidates import candidates_of
from liqtape.backtest.detectorrun import run_detectors
from liqtape.backtest.judgedpast import load_past
from liqtape.cascades.choice import DETECTORS, CascadeSettings
from liqtape.cascades.detector import Signal, StreamSignal
from liqtape.engine import VelocityEngine
from liqtape.ledger import Ledger
from liqtape.pipeline.listener import Listener
from liqtape.pipeline.pipeline import Pipeline


class _Heard(Listener):
    def __init__(self) -> None:
        self.signals: list[StreamSignal] = []

    def signal(self, signal: StreamSignal) -> None:
        self.signals.append(signal)


def _events() -> list[Row]:
    """Half an hour of calm, two bursts ten minutes apart, the second heavier."""
    calm = [(BEGIN_MS + 20_000 * place, "short", 4_000.0) for place in range(90)]
    first = [(BEGIN_MS + 1_900_000 + 150 * place, "long", 700_000.0) for place in range(120)]
    second = [(BEGIN_MS + 2_600_000 + 100 * place, "long", 900_000.0) for place in range(200)]
    return [*calm, *first, *second]


def test_one_by_one_is_as_live(tmp_path: Path) -> None:
    past = load_past(write(tmp_path / "events.csv", _events()))
    chosen = CascadeSettings(detectors=tuple(DETECTORS), refit=False)
    pipeline, heard = Pipeline(VelocityEngine(), {}, our_ms=past.times_ms[0], cascades=chosen), _Heard()
    pipeline.listeners.add(heard)
    ledger, second_ms = Ledger(), past.times_ms[0]
    for event in past:
        while second_ms + 1_000 <= event.event_ms:
            second_ms += 1_000
            pipeline.pulse(second_ms)
        pipeline.admit(event, ledger, event.event_ms)
    pipeline.pulse(second_ms + 1_000)

    runs = run_detectors(candidates_of(tuple(DETECTORS)), past)

    live = {run.name: _of(heard, run.name, past.scope) for run in runs}
    assert {run.name: msgspec.json.encode(run.signals) for run in runs} == live
    assert sum(bool(run.signals) for run in runs) >= 4


def _of(heard: _Heard, name: str, instrument: str) -> bytes:
    """The signals of a detector of the instrument over its venues, in their order."""
    found: list[Signal] = [
        one.signal
        for one in heard.signals
        if one.signal.detector == name and one.key.venue is None and one.key.instrument == instrument
    ]
    return msgspec.json.encode(found)
