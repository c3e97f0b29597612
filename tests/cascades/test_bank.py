"""The bank of detectors: alone, event by event, and live behind a pipeline it says the same."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from tests.cascades.streams import BASE_MS, of, streams

from liqtape.cascades.bank import DetectorBank
from liqtape.cascades.choice import DETECTORS, CascadeSettings, detector_of
from liqtape.cascades.detector import Signal, StreamCalm, StreamSignal
from liqtape.engine import VelocityEngine
from liqtape.engine.levels.returnperiods import BREADTH_KEY, MARKET_KEY, ReturnPeriods, StreamKey
from liqtape.engine.levels.threshold import Threshold
from liqtape.events import Liquidation, Side
from liqtape.ledger import Ledger
from liqtape.pipeline.cascadesignals import CascadeSignals, DetectedSignals
from liqtape.pipeline.listener import Listener
from liqtape.pipeline.pipeline import Pipeline

_QUIET = CascadeSettings(
    detectors=tuple(DETECTORS),
    surprise=1.5,
    cusum=5.0,
    hawkes=20.0,
    change_point=3.0,
    velocity_10s=0.5,
    acceleration=0.05,
    refit=False,
)
_BTC = StreamKey(None, "BTCUSDT")
_BURST = [of(BASE_MS + 3_600_000 + 100 * i, 1e6) for i in range(100)]


class _Heard(Listener):
    """What was told, in its order."""

    def __init__(self) -> None:
        self.signals: list[StreamSignal] = []
        self.calms: list[StreamCalm] = []

    def signal(self, signal: StreamSignal) -> None:
        self.signals.append(signal)

    def calm(self, calm: StreamCalm) -> None:
        self.calms.append(calm)


def _pipeline(chosen: CascadeSettings | None = None, engine: VelocityEngine | None = None) -> tuple[Pipeline, _Heard]:
    pipeline, heard = Pipeline(engine or VelocityEngine(), {}, our_ms=BASE_MS, cascades=chosen), _Heard()
    pipeline.listeners.add(heard)
    return pipeline, heard


def _run(pipeline: Pipeline, events: Sequence[Liquidation], until_ms: int) -> None:
    """Admit each event at its own time, and let each second pass."""
    ledger, second = Ledger(), BASE_MS
    for event in events:
        while second + 1_000 <= event.event_ms:
            second += 1_000
            pipeline.pulse(second)
        pipeline.admit(event, ledger, event.event_ms)
    while second + 1_000 <= until_ms:
        second += 1_000
        pipeline.pulse(second)


@settings(max_examples=20, deadline=None)
@given(streams())
def test_a_bank_says_what_its_detectors_say_one_by_one(events: list[Liquidation]) -> None:
    bank = DetectorBank(_QUIET, DETECTORS)
    said = [signal for event in events for signal in bank.update(event)]

    for key in (_BTC, StreamKey("bybit", None), MARKET_KEY):
        for name in DETECTORS:
            detector = detector_of(name, key, _QUIET)
            alone = [signal for event in events if (signal := detector.update(event)) is not None]
            assert [one.signal for one in said if one.key == key and one.signal.detector == name] == alone


@pytest.mark.parametrize("side", ["both", "short"])
def test_live_is_as_in_a_file(side: str) -> None:
    sides: list[Side] = ["short", "long", "short"]
    events = [of(at.event_ms + 30_000 * (i // 40), 20e6, sides[i % 3]) for i, at in enumerate(_BURST)]
    chosen = CascadeSettings(**{name: getattr(_QUIET, name) for name in _QUIET.__struct_fields__} | {"side": side})
    pipeline, heard = _pipeline(chosen)
    _run(pipeline, events, events[-1].event_ms + 400_000)

    bank = DetectorBank(chosen, DETECTORS)
    wanted = [signal for event in events for signal in bank.update(event)]

    # Live the engine's levels are the default detector of both sides; an instrument at a venue is a stream there, too.
    keys = {signal.key for signal in wanted}
    assert len(wanted) >= 3 * len(DETECTORS)
    by = lambda one: (one.key[0] or "", one.key[1] or "", one.signal.detector, one.signal.at_ms)  # noqa: E731
    assert sorted((one for one in heard.signals if one.key in keys), key=by) == sorted(wanted, key=by)
    others = {one.key for one in heard.signals} - keys
    assert others == ({StreamKey("bybit", "BTCUSDT")} if side == "both" else set())
    assert {(calm.key, calm.detector, calm.since_ms) for calm in heard.calms} == {
        (one.key, one.signal.detector, one.signal.at_ms) for one in heard.signals
    }


def test_by_default_no_detector_hears_the_events() -> None:
    pipeline, heard = _pipeline()

    assert type(pipeline.signals) is CascadeSignals
    assert pipeline.listeners.on_accepted == (pipeline.cascades.accepted,)
    _run(pipeline, _BURST, _BURST[-1].event_ms + 60_000)
    assert {one.signal.detector for one in heard.signals} == {"return_periods"}
    assert [one for one in heard.signals if one.key == _BTC] == [
        StreamSignal(_BTC, Signal("return_periods", _BURST[49].event_ms, 5e7, 5e7, "long"))
    ]
    assert heard.calms == []
    assert BREADTH_KEY not in {one.key for one in heard.signals}


@pytest.mark.parametrize(("level", "count"), [("WATCH", 4), ("CRITICAL", 4)])
def test_the_level_that_counts_is_a_choice(level: str, count: int) -> None:
    pipeline, heard = _pipeline(CascadeSettings(level=level))  # type: ignore[arg-type]
    levels = pipeline.engine.levels
    assert levels is not None
    _run(pipeline, [of(at.event_ms, 3e6) for at in _BURST], _BURST[-1].event_ms + 1_000)

    assert len(heard.signals) == count
    assert {one.signal.threshold for one in heard.signals} == {5e7, 2e8}


def test_two_episodes_are_two_signals_with_a_calm_between() -> None:
    pipeline, heard = _pipeline()
    first, second = _BURST, [of(at.event_ms + 700_000, 1e8) for at in _BURST]
    _run(pipeline, [*first, *second], second[-1].event_ms + 400_000)

    mine = [one.signal.at_ms for one in heard.signals if one.key == _BTC]
    assert mine[0] == first[49].event_ms
    assert second[0].event_ms <= mine[1] <= second[-1].event_ms
    over = [calm for calm in heard.calms if calm.key == _BTC]
    assert [calm.since_ms for calm in over] == mine
    assert abs(over[0].at_ms - (first[-1].event_ms + 300_000)) <= 1_000


@pytest.mark.parametrize("rule", [Threshold(), ReturnPeriods()], ids=["threshold", "return period"])
def test_by_another_rule_of_levels_the_default_detector_looks_itself(rule: Threshold | ReturnPeriods) -> None:
    pipeline, heard = _pipeline(engine=VelocityEngine(rule=rule))
    _run(pipeline, _BURST, _BURST[-1].event_ms + 1_000)

    assert isinstance(pipeline.signals, DetectedSignals) == isinstance(rule, Threshold)
    assert [one.signal.at_ms for one in heard.signals if one.key == _BTC] == [_BURST[49].event_ms]


def test_what_a_venue_repeats_raises_nothing() -> None:
    pipeline, heard = _pipeline(_QUIET)
    signals = pipeline.signals
    assert isinstance(signals, DetectedSignals)

    signals.accepted(_BURST, is_news=False)

    assert heard.signals == []
    assert len(signals.bank) == 0


def test_a_stream_is_watched_while_one_of_its_venues_is() -> None:
    bank = DetectorBank(_QUIET, ["cusum"])
    for venue in ("bybit", "okx"):
        bank.up(venue, BASE_MS)
    for event in _BURST:
        bank.update(of(event.event_ms, 1e3, "long", "okx"))
        bank.update(event)
    now_ms = _BURST[-1].event_ms

    bank.down("okx", now_ms)
    assert [calm.key for calm in bank.calmed(now_ms)] == [StreamKey("okx", None)]
    bank.down("bybit", now_ms + 1)
    assert {calm.key for calm in bank.calmed(now_ms + 1)} == {_BTC, MARKET_KEY, StreamKey("bybit", None)}
    assert {detector.at(now_ms + 2).score for _, detector in bank.detectors()} == {None}
    bank.up("okx", now_ms + 10)
    up = {key for key, detector in bank.detectors() if detector.at(now_ms + 20).score is not None}
    assert up == {_BTC, MARKET_KEY, StreamKey("okx", None)}


def test_feeds_reach_the_bank_by_their_coverage() -> None:
    pipeline, heard = _pipeline(_QUIET)
    signals = pipeline.signals
    assert isinstance(signals, DetectedSignals)
    signals.covered("bybit", BASE_MS)
    signals.accepted(_BURST, is_news=True)
    now_ms = _BURST[-1].event_ms

    signals.missed("bybit", now_ms, now_ms + 10)
    assert all(not detector.at(now_ms + 10).is_raised for _, detector in signals.bank.detectors())
    signals.uncovered("bybit", now_ms + 20)
    signals.tick(now_ms + 20)
    assert len(heard.calms) == len({(one.key, one.signal.detector) for one in heard.signals})


def test_streams_have_a_bound_and_a_count_of_what_was_left_out() -> None:
    bank = DetectorBank(_QUIET, ["cusum"], most=3)
    for event in _BURST[:2]:
        bank.update(event)
        bank.update(of(event.event_ms, 1.0, "long", "okx"))

    assert (len(bank), bank.left_out_total) == (3, 2)
