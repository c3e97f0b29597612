"""Cascades of a past: an event file on the page, and a history without recorded ones, say the same to the byte."""

from pathlib import Path

import msgspec
from tests.cascades.samples import T0, past

from liqtape.cascades.choice import CascadeSettings
from liqtape.engine import VelocityEngine
from liqtape.eventfiles.filerun import FileRun
from liqtape.eventfiles.readers import load
from liqtape.events import Gap
from liqtape.pipeline.pastwatch import cascades_of

_HOUR_MS = 3_600_000


def test_a_file_on_the_page_has_what_a_history_has_to_the_byte(tmp_path: Path) -> None:
    file = tmp_path / "past.ndjson"
    file.write_bytes(msgspec.json.Encoder().encode_lines(past()))
    run = FileRun(load(file), VelocityEngine())
    while run.now_ms < T0 + 60 * _HOUR_MS:
        run.advance(run.now_ms + 7 * _HOUR_MS)

    computed = cascades_of(past(), VelocityEngine())

    shown = sorted(run.cascades(), key=lambda one: (one.begin_ms, one.id))
    assert len(computed) == run.cascades_total() == 2
    assert msgspec.json.encode(shown) == msgspec.json.encode(computed)


def test_gaps_of_a_past_are_told_as_they_begin_and_end() -> None:
    burst_ms = T0 + 30 * _HOUR_MS
    inside = Gap("bybit", burst_ms + 20_000, burst_ms + 21_000, "lost")
    elsewhere = Gap("bybit", burst_ms + 2_000_000, burst_ms + 2_100_000, "lost")

    first, second = cascades_of(past(), VelocityEngine(), gaps=[elsewhere, inside])

    assert first.gaps == (inside,)
    assert second.gaps == ()


def test_other_detectors_open_cascades_of_a_past() -> None:
    settings = CascadeSettings(("threshold",), velocity_10s=1.0)

    found = cascades_of(past(), VelocityEngine(), settings=settings)

    assert {one.detector for one in found} == {"threshold"}
    assert {one.scope for one in found} == {"instrument", "venue"}  # of one instrument, the market is no more than it
    assert all("threshold reached" in one.why for one in found)
