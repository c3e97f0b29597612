"""Forecasts of a pipeline: what they are given, when they are made, and that a replay says the same."""

import json
import time
from pathlib import Path

from tests.forecast.events import T0, liquidation
from tests.forecast.models import velocity_model

from liqtape.forecast.issued import IssuedForecast, issued_line
from liqtape.ledger import Ledger
from liqtape.pipeline.streamforecasts import NO_MODEL, StreamForecasts, unforecast
from liqtape.recording.playback import Playback
from liqtape.recording.recorder import Recorder
from liqtape.recording.recordinglistener import RecordingListener
from liqtape.recording.records import RunStarted
from liqtape.runscope import RunScope, pipeline_of
from liqtape.settings import AlertSettings
from liqtape.venues import VENUES
from liqtape.venues.session import Session

_HOUR_MS = 3_600_000


def _made(**model: object) -> tuple[StreamForecasts, list[IssuedForecast]]:
    issued: list[IssuedForecast] = []
    forecasts = StreamForecasts(velocity_model(**model), ["bybit"], lambda our_ms: our_ms, issued.append)  # type: ignore[arg-type]
    forecasts.covered("bybit", T0 - _HOUR_MS)
    return forecasts, issued


def test_a_forecast_is_made_when_its_moment_has_settled_and_once() -> None:
    forecasts, issued = _made()
    for second in range(13):
        forecasts.tick(T0 + 1_000 * second)

    assert [(one.at_ms, one.written_ms) for one in issued] == [
        (T0 - 10_000, T0),
        (T0, T0 + 2_000),
        (T0 + 10_000, T0 + 12_000),
    ]
    assert [forecast.at_ms for forecast in forecasts.now(T0 + 12_500)] == [T0 + 10_000] * 2


def test_an_event_that_comes_within_the_wait_is_in_the_forecast_of_its_moment() -> None:
    forecasts, issued = _made()
    forecasts.tick(T0)
    forecasts.accepted([liquidation(T0 + 9_900)], is_news=True)
    forecasts.accepted([liquidation(T0 + 10_001)], is_news=True)
    forecasts.tick(T0 + 12_000)

    assert issued[-1].at_ms == T0 + 10_000
    assert issued[-1].reached == (1, 1)


def test_after_a_pause_only_the_newest_is_forecast() -> None:
    forecasts, issued = _made()
    forecasts.tick(T0 + 2_000)
    forecasts.tick(T0 + 602_000)
    assert [one.at_ms for one in issued] == [T0, T0 + 600_000]


def test_a_time_that_goes_back_forecasts_nothing_and_what_is_old_is_not_told() -> None:
    forecasts, issued = _made()
    forecasts.tick(T0 + 2_000)
    forecasts.tick(T0 - _HOUR_MS)
    assert len(issued) == 1
    for now_ms in (T0 - _HOUR_MS, T0 + 61_000):
        assert {forecast.why for forecast in forecasts.now(now_ms)} == {"the last forecast is too old"}


def test_events_that_no_moment_reaches_are_bounded_and_their_time_counts_as_unwatched() -> None:
    forecasts, issued = _made()
    forecasts.tick(T0 + 2_000)
    for _ in range(5):
        forecasts.accepted([liquidation(T0 + 1 + place) for place in range(50_000)], is_news=True)
    forecasts.tick(T0 + 12_000)

    assert issued[-1].forecasts[0].why == "there is a gap in the last 300 s"
    assert issued[-1].reached == (0, 0)


def test_only_the_streams_of_the_model_are_taken_in() -> None:
    forecasts, issued = _made(instrument="ETHUSDT")
    forecasts.accepted([liquidation(T0 + 1), liquidation(T0 + 2, venue="okx")], is_news=True)
    forecasts.tick(T0 + 12_000)
    assert issued[-1].reached == (0, 0)
    assert issued[-1].stream == "ETHUSDT"


def test_a_venue_that_is_down_withholds_the_forecast_and_says_so() -> None:
    forecasts, issued = _made()
    forecasts.tick(T0 + 2_000)
    forecasts.uncovered("bybit", T0 + 3_000)
    forecasts.tick(T0 + 12_000)

    assert [one.forecasts[0].why for one in issued] == ["", "not watched now: bybit"]
    assert forecasts.now(T0 + 12_000)[0].probability is None
    assert forecasts.now(T0 + 12_000)[0].base_rate == 0.01


def test_the_run_before_is_taken_over() -> None:
    forecasts, issued = _made()
    other = StreamForecasts(velocity_model(), ["bybit"], lambda our_ms: our_ms, issued.append)
    other.recalled([liquidation(T0 - 5_000)], [("bybit", T0 - 2 * _HOUR_MS, T0 - 1_000)], T0)
    other.covered("bybit", T0)
    other.tick(T0 + 322_000)

    assert issued[-1].reached == (0, 0)
    assert issued[-1].withheld == ("", "")
    del forecasts


def test_without_a_model_it_says_what_to_do() -> None:
    for forecast in unforecast(T0 + 5):
        assert (forecast.at_ms, forecast.probability, forecast.base_rate, forecast.why) == (T0, None, None, NO_MODEL)


def test_a_model_of_a_venue_that_is_not_connected_says_so() -> None:
    forecasts = StreamForecasts(velocity_model(("bybit", "bitmex")), ["bybit"], lambda our_ms: our_ms)
    assert {forecast.why for forecast in forecasts.now(T0)} == {"the model was trained on bitmex, not connected here"}


def test_a_model_that_was_no_better_keeps_its_reason() -> None:
    forecasts, _ = _made(verdict="no better than what is simpler")
    forecasts.tick(T0 + 2_000)
    assert {forecast.why for forecast in forecasts.now(T0 + 2_000)} == {"no better than what is simpler"}


def test_the_judgement_goes_on_from_the_log_of_the_same_model() -> None:
    first, log = _made()
    for issue in range(3 * 8_640):  # nothing ever comes where 1.8 % is told
        first.tick(T0 + 10_000 * issue + 2_000)
    assert log[100].withheld == ("", "")
    assert log[-1].withheld[0].startswith("withdrawn: ")

    resumed, issued = _made()
    resumed.resume(log)
    other, other_issued = _made(instrument="ETHUSDT")
    other.resume(log)
    for forecasts in (resumed, other):
        forecasts.tick(log[-1].at_ms + 12_000)
    assert issued[0].withheld == log[-1].withheld
    assert other_issued[0].withheld == ("", "")


def _frame(at_ms: int, number: int) -> bytes:
    rows = [{"T": at_ms, "s": "BTCUSDT", "S": "Buy", "v": f"0.{number % 90 + 10}", "p": "80000"}]
    return json.dumps({"topic": "allLiquidation.BTCUSDT", "type": "snapshot", "ts": at_ms, "data": rows}).encode()


def test_a_replay_of_the_recording_forecasts_what_live_did_to_the_byte(tmp_path: Path) -> None:
    """An hour and a quarter at the speed of the machine: all that knows the time is told it."""
    scope = RunScope((), {"bybit": ()}, AlertSettings())
    venue = VENUES["bybit"]
    endpoint = venue.endpoints(["BTCUSDT"])[0]
    recorder = Recorder(tmp_path)
    began_ms = int(time.time()) * 1_000 // 10_000 * 10_000
    pipeline = pipeline_of(scope, began_ms)
    pipeline.begin()
    pipeline.listeners.add(RecordingListener(recorder))
    live: list[IssuedForecast] = []
    pipeline.listeners.add(StreamForecasts(velocity_model(), pipeline.targets, pipeline.clock.t_ms, live.append))
    recorder.open(RunStarted("0", [], {"bybit": []}, AlertSettings(), price_always=False))
    recorder.track("bybit", endpoint)
    ledger = Ledger()
    session = Session(venue, endpoint, ledger)
    pipeline.feeds.up("bybit", began_ms, began_ms)
    for second in range(4_500):
        our_ms = began_ms + 1_000 * second
        if (second * 3) % 7 == 0 or second % 900 < 20:
            payload = _frame(our_ms - 400 - second % 1_500, second)
            recorder.take(1, our_ms * 1_000_000, (payload,))
            pipeline.ingest(session.received(payload, our_ms, our_ms / 1_000), ledger)
        pipeline.pulse(our_ms)
    recorder.close()

    replayed: list[IssuedForecast] = []
    playback = Playback(tmp_path)
    again = playback.open()
    again.listeners.add(StreamForecasts(velocity_model(), again.targets, again.clock.t_ms, replayed.append))
    playback.advance(began_ms + 10 * _HOUR_MS)

    assert sum(issued.forecasts[0].probability is not None for issued in live) > 80
    assert len({issued.forecasts[0].probability for issued in live}) > 3
    assert b"".join(map(issued_line, replayed)) == b"".join(map(issued_line, live))
