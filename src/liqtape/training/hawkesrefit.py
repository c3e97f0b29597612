"""How the hourly fit of the Hawkes detectors is wired in: a task of the supervisor, and a child that does the work.

    tracker ── supervisor task "hawkes" ── once an hour ── child: python -m liqtape.training.hawkesfit
                 for each stream with enough events:
                   detector.past(now) ── a line of JSON ──▶ fit (numpy)
                   pipeline.signals.adopt(fit) ◀── a line ─┘   refused at a branching ratio of 0.99

A fit takes up to seconds of a core, which the interpreter of the feeds does not have. The child is another process at a
lower priority, gets one stream at a time, and ends after its round.
"""

import asyncio
import importlib.util
import logging
import sys
from collections.abc import Callable

import msgspec

from liqtape.cascades.hawkesdetector import HawkesDetector, StreamFit
from liqtape.engine.levels.returnperiods import StreamKey
from liqtape.pipeline.pipeline import Pipeline
from liqtape.training.fitrecords import LEAST_EVENTS, FitRequest, HawkesFit

__all__ = ["HawkesRefit"]

_HOUR_SECONDS = 3_600.0
_LONGEST_SECONDS = 120.0
"""Of one fit; 100,000 events take about ten."""

_log = logging.getLogger(__name__)


class HawkesRefit:
    """Fits the Hawkes detectors of a pipeline anew; `fits` has the newest of each stream, refused ones too.

    `now_ms` tells the evaluation time. `state` says how it stands, for people.
    """

    def __init__(self, pipeline: Pipeline, now_ms: Callable[[], int], every_seconds: float = _HOUR_SECONDS) -> None:
        self.fits: dict[StreamKey, HawkesFit] = {}
        self.rounds = 0
        self.state = "waiting"
        self._pipeline = pipeline
        self._now_ms = now_ms
        self._every_seconds = every_seconds
        self._answer = msgspec.json.Decoder(HawkesFit | None)

    async def run(self) -> None:
        """Fit once an hour, until it is cancelled; without numpy not at all."""
        if importlib.util.find_spec("numpy") is None:
            self.state = "off: fits need the extra 'analysis'"
            _log.warning("cascades.refit: %s; hawkes goes on with the children of large instruments", self.state)
            return
        while True:
            await asyncio.sleep(self._every_seconds)
            await self.turn()

    async def turn(self) -> None:
        """Fit all streams once."""
        child = await _started()
        try:
            for key, detector in list(self._pipeline.signals.fitted_streams()):
                await self._fit(child, key, detector)
            self.state = f"{len(self.fits)} streams fitted"
        except (OSError, TimeoutError, msgspec.DecodeError) as error:
            self.state = f"failed: {type(error).__name__}: {error}"
            _log.warning("cascades.refit: %s", self.state)
        finally:
            await _ended(child)
        self.rounds += 1

    async def _fit(self, child: asyncio.subprocess.Process, key: StreamKey, detector: HawkesDetector) -> None:
        now_ms = self._now_ms()
        past = detector.past(now_ms)
        if past is None or len(past.times_ms) < LEAST_EVENTS or child.stdin is None or child.stdout is None:
            return
        child.stdin.write(msgspec.json.encode(FitRequest(past, detector.fitted)) + b"\n")
        await child.stdin.drain()
        line = await asyncio.wait_for(child.stdout.readline(), _LONGEST_SECONDS)
        fit = self._answer.decode(line)
        if fit is None:
            return
        self.fits[key] = fit
        if not fit.refused:
            self._pipeline.signals.adopt(StreamFit(key, fit.parameters, fit.mean_weight, now_ms))


async def _started() -> asyncio.subprocess.Process:
    """Return a new child. Who is cancelled meanwhile leaves none behind."""
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "liqtape.training.hawkesfit"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await _ended(await starting)
        raise


async def _ended(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        child.kill()
    await child.communicate()  # which closes the pipes, too
