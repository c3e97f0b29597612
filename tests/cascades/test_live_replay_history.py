"""The cascades of a run over real sockets, of its recording played again, and of its history: the same to the byte."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace
from tests.polling import until

from liqtape.cascades.cascade import Cascade
from liqtape.cascades.choice import CascadeSettings
from liqtape.cli.demo import _settings
from liqtape.history.log.layout import DATABASE
from liqtape.history.query.recordedcascades import recorded_cascades
from liqtape.pipeline.onevent import OnCascade
from liqtape.recording.playback import Playback
from liqtape.recording.recorder import Recorder
from liqtape.settings import HistorySettings, RedisSettings
from liqtape.simulator import Simulator
from liqtape.tracker import Tracker

_EVER_MS = 1 << 62


def _lines(cascades: Sequence[Cascade]) -> list[bytes]:
    return [msgspec.json.encode(cascade) for cascade in cascades]


async def test_live_replay_and_history_are_the_same_to_the_byte(tmp_path: Path) -> None:
    told: list[Cascade] = []
    heard: list[Cascade] = []  # by a function of the user's, in a thread of its own
    async with Simulator("cascade", 5, 4.0) as simulator:
        settings = replace(
            _settings(simulator, tmp_path),
            history=HistorySettings(str(tmp_path / "history")),
            redis=RedisSettings("off"),
            cascades=CascadeSettings(("return_periods", "threshold"), velocity_10s=0.5),
        )
        recorder = Recorder(tmp_path / "recording")
        tracker = Tracker(settings, recorder=recorder)
        tracker.listen(OnCascade(told.append))
        tracker.on_cascade(heard.append)
        async with tracker:
            await until(lambda: sum(cascade.events for cascade in tracker.cascades()) > 60)
    newest = {cascade.id: cascade for cascade in told}

    playback = Playback(tmp_path / "recording")
    replayed: list[Cascade] = []
    playback.open().listeners.add(OnCascade(replayed.append))
    playback.advance(_EVER_MS // 1_000_000)

    with sqlite3.connect(tmp_path / "history" / DATABASE) as connection:
        rows = [row for (row,) in connection.execute("SELECT record FROM cascades ORDER BY begin_ms, id")]
    assert all(cascade.end_ms is not None for cascade in newest.values())
    assert sum(cascade.events for cascade in newest.values()) > 60
    assert _lines(heard) == _lines(told)
    assert _lines(replayed) == _lines(told)
    stepped = [cascade for step in Playback(tmp_path / "recording").steps(7) for cascade in step.cascades]
    assert _lines(stepped) == _lines(told)
    in_order = sorted(newest.values(), key=lambda one: (one.begin_ms, one.id))
    assert [row.encode() for row in rows] == _lines(in_order)
    assert _lines(recorded_cascades(tmp_path / "history", 0, _EVER_MS).cascades) == _lines(in_order)
    assert _lines(sorted(tracker.cascades(), key=lambda one: (one.begin_ms, one.id))) == _lines(in_order)
