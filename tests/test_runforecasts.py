"""Forecasts of a tracker: the model of the settings, its log, and what is said without one."""

import asyncio
from pathlib import Path

import pytest
from tests.forecast.models import velocity_model
from tests.polling import until

from liqtape.errors import ConfigurationError
from liqtape.events import VenueHealth
from liqtape.forecast.model import model_bytes
from liqtape.forecastlog.issuefiles import issue_files, read_issues
from liqtape.pipeline.listener import Listener, Pulse
from liqtape.settings import ForecastSettings, HistorySettings, Settings
from liqtape.tracker import Tracker


def _settings(forecast: ForecastSettings) -> Settings:
    return Settings(venues={}, history=HistorySettings(url="off"), forecast=forecast)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "cascades.json"
    path.write_bytes(model_bytes(velocity_model()))
    return path


def test_without_a_model_nothing_is_forecast_and_it_says_so(tmp_path: Path) -> None:
    tracker = Tracker(_settings(ForecastSettings()), data_dir=tmp_path)
    assert {(forecast.probability, forecast.why) for forecast in tracker.forecast()} == {
        (None, "no model was trained; see liqtape train")
    }
    assert not (tmp_path / "forecasts").exists()


def test_a_model_that_is_none_is_refused_before_anything_starts(tmp_path: Path) -> None:
    for content, said in ((None, "cannot be read"), (b"{}", "not a model"), (b'{"version": 2}', "of version 2")):
        path = tmp_path / "m.json"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigurationError, match=rf"^forecast\.model .*m\.json: .*{said}"):
            Tracker(_settings(ForecastSettings(str(path))), data_dir=tmp_path)


class _Services(Listener):
    def __init__(self) -> None:
        self.lines: list[VenueHealth] = []

    def pulse(self, pulse: Pulse) -> None:
        self.lines = list(pulse.services)


async def test_each_forecast_is_in_the_log_before_its_outcome(tmp_path: Path, model: Path) -> None:
    tracker = Tracker(_settings(ForecastSettings(str(model), str(tmp_path / "log"))), data_dir=tmp_path)
    services = _Services()
    tracker.listen(services)
    async with tracker:
        before_ms = tracker.now_ms()
        # Seconds pass as they would, only sooner.
        tracker.pulse(before_ms + 12_000)
        log = tmp_path / "log"
        await until(lambda: log.is_dir() and issue_files(log) and list(read_issues(log)))
        (issued,) = list(read_issues(tmp_path / "log"))
        assert before_ms - 10_000 < issued.at_ms <= before_ms + 10_000
        assert issued.written_ms - issued.at_ms < 60_000
        assert [line.state for line in services.lines if line.venue == "forecast log"] == ["live"]
        assert {forecast.why for forecast in tracker.forecast()} == {
            "the model was trained on bybit, not connected here"
        }
        tracker.pulse(before_ms + 22_000)
    assert len(list(read_issues(tmp_path / "log"))) == 2


async def test_the_log_is_in_the_data_directory_or_off(tmp_path: Path, model: Path) -> None:
    for log, kept in ((None, True), ("off", False)):
        place = tmp_path / f"data {log}"
        async with Tracker(_settings(ForecastSettings(str(model), log)), data_dir=place) as tracker:
            tracker.pulse(tracker.now_ms() + 12_000)
        assert (place / "forecasts").exists() is kept


async def test_a_log_that_cannot_be_read_keeps_nothing_from_starting(
    tmp_path: Path, model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "forecasts"
    directory.mkdir()
    (directory / "forecasts-00000001.ndjson").write_bytes(b"nonsense\n")
    async with Tracker(_settings(ForecastSettings(str(model))), data_dir=tmp_path) as tracker:
        await asyncio.sleep(0)
        assert tracker.forecast()
    assert "1 lines of the log of forecasts cannot be read" in caplog.text
