"""The hourly fit: in a child of its own, adopted by the detectors, recorded so that a replay does the same."""

import asyncio
import gc
import sys
from pathlib import Path

import pytest
from tests.cascades.streams import BASE_MS, of
from tests.training.test_hawkesfit import drawn

from liqtape import Settings, Tracker
from liqtape.cascades.choice import CascadeSettings
from liqtape.cascades.hawkesdetector import HawkesDetector, StreamFit
from liqtape.cascades.hawkesprocess import HawkesParameters
from liqtape.engine import VelocityEngine
from liqtape.engine.levels.returnperiods import MARKET_KEY, StreamKey
from liqtape.ledger import Ledger
from liqtape.pipeline.listener import Listener
from liqtape.pipeline.pipeline import Pipeline
from liqtape.recording.playback import Playback
from liqtape.recording.recorder import Recorder
from liqtape.recording.recordinglistener import RecordingListener
from liqtape.recording.records import Refitted, RunStarted, decode_record, encode_record
from liqtape.settings import AlertSettings
from liqtape.training.hawkesrefit import HawkesRefit

_CHOSEN = CascadeSettings(detectors=("hawkes",))
_TRUE = HawkesParameters(0.01, (0.1, 0.5, 0.1, 0.0))
_HOUR_MS = 3_600_000
_TIMES = drawn(_TRUE, 6 * _HOUR_MS, seed=4)
_BTC = StreamKey(None, "BTCUSDT")


class _Heard(Listener):
    def __init__(self) -> None:
        self.fits: list[StreamFit] = []

    def refitted(self, fit: StreamFit) -> None:
        self.fits.append(fit)


def _pipeline(count: int = len(_TIMES), chosen: CascadeSettings = _CHOSEN) -> tuple[Pipeline, _Heard]:
    pipeline, heard, ledger = Pipeline(VelocityEngine(), {}, our_ms=BASE_MS, cascades=chosen), _Heard(), Ledger()
    pipeline.listeners.add(heard)
    for at_ms in _TIMES[:count]:
        pipeline.admit(of(BASE_MS + at_ms), ledger, BASE_MS + at_ms)
    return pipeline, heard


def _detector(pipeline: Pipeline, key: StreamKey = _BTC) -> HawkesDetector:
    return next(detector for own, detector in pipeline.signals.fitted_streams() if own == key)


async def test_a_round_fits_every_stream_in_a_child_and_they_go_on_with_it() -> None:
    pytest.importorskip("numpy")
    pipeline, heard = _pipeline()
    refit = HawkesRefit(pipeline, lambda: BASE_MS + 6 * _HOUR_MS)

    await refit.turn()

    keys = {_BTC, StreamKey("bybit", None), MARKET_KEY}
    assert {fit.key for fit in heard.fits} == keys == set(refit.fits)
    assert (refit.rounds, refit.state) == (1, "3 streams fitted")
    ratio = _detector(pipeline).branching_ratio
    assert ratio is not None
    assert ratio == pytest.approx(_TRUE.branching_ratio, abs=0.15)
    steps = refit.fits[_BTC].steps
    await refit.turn()  # from where it was
    assert refit.fits[_BTC].steps < steps


async def test_a_stream_with_few_events_is_left_as_it_is() -> None:
    pipeline, heard = _pipeline(count=99)

    refit = HawkesRefit(pipeline, lambda: BASE_MS + 6 * _HOUR_MS)
    await refit.turn()

    assert (heard.fits, refit.fits, _detector(pipeline).fitted) == ([], {}, None)


async def test_a_child_that_fails_leaves_all_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, heard = _pipeline()
    refit = HawkesRefit(pipeline, lambda: BASE_MS + 6 * _HOUR_MS)
    monkeypatch.setattr(sys, "executable", "/bin/false")

    await refit.turn()

    assert heard.fits == []
    assert refit.state.startswith("failed: ")


async def test_who_is_cancelled_while_it_starts_leaves_no_child_behind() -> None:
    refit = HawkesRefit(_pipeline()[0], lambda: BASE_MS)
    task = asyncio.create_task(refit.turn())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    gc.collect()  # a child that still runs complains here

    assert refit.rounds == 0


async def test_without_numpy_it_says_so_and_ends(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    refit = HawkesRefit(_pipeline(count=1)[0], lambda: BASE_MS)

    await refit.run()

    assert refit.state == "off: fits need the extra 'analysis'"
    assert "cascades.refit: off: fits need the extra 'analysis'" in caplog.text


async def test_it_goes_on_hour_after_hour_until_it_is_cancelled() -> None:
    refit = HawkesRefit(_pipeline(count=1)[0], lambda: BASE_MS, every_seconds=0.0)
    task = asyncio.create_task(refit.run())
    async with asyncio.timeout(60):
        while refit.rounds < 2:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("detectors", "refit", "count"), [(("hawkes",), True, 1), (("hawkes",), False, 0), (("cusum",), True, 0)]
)
async def test_a_tracker_fits_only_what_was_chosen(detectors: tuple[str, ...], refit: bool, count: int) -> None:
    chosen = CascadeSettings(detectors=detectors, refit=refit)
    async with Tracker(Settings(venues={}, cascades=chosen)):
        assert sum(task.get_name() == "hawkes" for task in asyncio.all_tasks()) == count


def test_a_fit_of_a_branching_ratio_of_one_is_not_adopted() -> None:
    pipeline, heard = _pipeline(count=1)
    critical = HawkesParameters(0.01, (0.5, 0.2, 0.0, 0.0))

    pipeline.signals.adopt(StreamFit(_BTC, critical, 1.5, BASE_MS))

    assert (heard.fits, _detector(pipeline).branching_ratio) == ([], None)
    pipeline.signals.adopt(StreamFit(_BTC, critical, 1.4, BASE_MS))
    assert len(heard.fits) == 1
    assert _detector(pipeline).branching_ratio == pytest.approx(0.98)


def test_by_default_there_is_nothing_to_fit() -> None:
    pipeline, heard = _pipeline(chosen=CascadeSettings())

    pipeline.signals.adopt(StreamFit(_BTC, _TRUE, 1.0, BASE_MS))

    assert (list(pipeline.signals.fitted_streams()), heard.fits) == ([], [])


def test_what_is_kept_is_of_a_day_and_of_one_watched_span() -> None:
    detector = HawkesDetector(keeps_past=True)
    detector.up(BASE_MS)
    for hour in range(30):
        detector.update(of(BASE_MS + hour * _HOUR_MS))
    now_ms = BASE_MS + 29 * _HOUR_MS
    past = detector.past(now_ms)
    assert past is not None
    assert (past.begin_ms, past.end_ms) == (now_ms - 24 * _HOUR_MS, now_ms)
    assert past.times_ms == tuple(BASE_MS + hour * _HOUR_MS for hour in range(6, 30))

    detector.down(now_ms + 5)
    down = detector.past(now_ms + 1_000)
    assert down is not None
    assert (down.end_ms, len(down.times_ms)) == (now_ms + 5, 24)
    detector.up(now_ms + 2_000)
    detector.update(of(now_ms + 3_000))
    again = detector.past(now_ms + 4_000)
    assert again is not None
    assert (again.begin_ms, again.times_ms) == (now_ms + 2_000, (now_ms + 3_000,))
    assert HawkesDetector().past(now_ms) is None


def test_a_replay_goes_on_with_the_fits_of_the_recorded_run(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "recording")
    recorder.open(RunStarted("0", (), {}, AlertSettings(), price_always=False, cascades=_CHOSEN))
    pipeline = Pipeline(VelocityEngine(), {}, our_ms=BASE_MS, cascades=_CHOSEN)
    pipeline.listeners.add(RecordingListener(recorder))
    pipeline.admit(of(BASE_MS), Ledger(), BASE_MS)
    fit = StreamFit(MARKET_KEY, _TRUE, 1.25, BASE_MS)
    pipeline.signals.adopt(fit)
    recorder.close(10.0)
    assert decode_record(encode_record(Refitted(fit))) == Refitted(fit)

    playback = Playback(tmp_path / "recording")
    replayed, heard = playback.open(), _Heard()
    replayed.admit(of(BASE_MS), Ledger(), BASE_MS)  # wrapped streams are not recorded
    replayed.listeners.add(heard)
    playback.advance(1 << 60)

    assert heard.fits == [fit]
    assert _detector(replayed, MARKET_KEY).fitted == _TRUE
