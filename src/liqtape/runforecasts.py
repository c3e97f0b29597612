"""The forecasts of a running service: its model, the log before the outcome, and what a restart takes over."""

import asyncio
import logging
from pathlib import Path

from liqtape.errors import ConfigurationError, LiqtapeError
from liqtape.events import VenueHealth
from liqtape.forecast.drift import DRIFT_DAYS
from liqtape.forecast.forecaster import Forecast
from liqtape.forecast.issued import IssuedForecast
from liqtape.forecast.model import CascadeModel, model_of
from liqtape.forecastlog.issuefiles import IssueFiles, issue_files, read_issues
from liqtape.forecastlog.issuewriter import IssueWriter
from liqtape.history.log.directories import data_directory
from liqtape.pipeline.pipeline import Pipeline
from liqtape.pipeline.streamforecasts import StreamForecasts, unforecast
from liqtape.settings import ForecastSettings

__all__ = ["RunForecasts", "read_model"]

_DAY_MS = 86_400_000

_log = logging.getLogger(__name__)


def read_model(path: Path) -> CascadeModel:
    """Return the model of a file. Raises ConfigurationError where it cannot be read or is none."""
    try:
        payload = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"forecast.model {path}: cannot be read: {error.strerror}") from error
    return model_of(payload, f"forecast.model {path}")


class RunForecasts:
    """Forecasts of the settings' model, if they name one; `writer` is None where no log is kept."""

    def __init__(self, settings: ForecastSettings, pipeline: Pipeline, data_dir: Path | None) -> None:
        self.writer: IssueWriter | None = None
        self._forecasts: StreamForecasts | None = None
        self._directory: Path | None = None
        if not settings.model:
            return
        model = read_model(Path(settings.model).expanduser())
        if settings.log != "off":
            usual = (data_directory() if data_dir is None else data_dir) / "forecasts"
            self._directory = usual if settings.log is None else Path(settings.log).expanduser()
            self.writer = IssueWriter(IssueFiles(self._directory, round(1_000_000 * settings.log_mb)))
        write = self._drop if self.writer is None else self.writer.offer
        self._forecasts = StreamForecasts(model, pipeline.targets, pipeline.clock.t_ms, write)
        pipeline.listeners.add(self._forecasts)

    async def open(self, now_ms: int) -> None:
        """Let the judgement of the last days go on from the log."""
        if self._forecasts is not None and self._directory is not None:
            await asyncio.to_thread(self._resume, self._forecasts, self._directory, now_ms)

    def now(self, now_ms: int) -> tuple[Forecast, ...]:
        """Return the newest forecasts, or why there are none."""
        return unforecast(now_ms) if self._forecasts is None else self._forecasts.now(now_ms)

    def health(self, now_ms: int) -> list[VenueHealth]:
        """Return the log as a line of what is published about the venues."""
        return [] if self.writer is None else [self.writer.health(now_ms)]

    @staticmethod
    def _resume(forecasts: StreamForecasts, directory: Path, now_ms: int) -> None:
        if not directory.is_dir() or not issue_files(directory):
            return
        since_ms = now_ms - DRIFT_DAYS * _DAY_MS
        try:
            log = read_issues(directory)
            forecasts.resume(issued for issued in log if since_ms <= issued.at_ms <= now_ms)
        except (LiqtapeError, OSError) as error:
            _log.warning("earlier forecasts are not judged, their log cannot be read: %s", error)
            return
        if log.broken:
            _log.warning(
                "%d lines of the log of forecasts cannot be read, the first: %s", len(log.broken), log.broken[0]
            )

    def _drop(self, issued: IssuedForecast) -> None:
        """Keep nothing: no log is wanted."""
