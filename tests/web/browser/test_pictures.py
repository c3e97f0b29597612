"""The pictures of the documentation, of real services. KEEP_PICTURES=1 puts them into docs/screenshots."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from playwright.sync_api import Page

if TYPE_CHECKING:
    from tests.web.browser.conftest import Command, Stage, Visits

_DOCS = Path(__file__).resolve().parents[3] / "docs" / "screenshots"
_MOST_BYTES = 150 * 1024
_COLOURS = (160, 96, 64)  # as many as fit; with fewer, two levels would look alike
_WIDEST = 1440
_FILLED = (
    "async () => document.querySelectorAll('#instruments tbody tr').length > 5"
    " && document.querySelector('#trust-table tbody tr')"
    " && (await import('/static/chart.js')).charted?.columns.long_count.some(Boolean)"
)


def _take(page: Page, name: str, directory: Path) -> None:
    """Take a picture in few colours, for the repository keeps it."""
    page.wait_for_timeout(1_500)  # two paints of everything
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    if shot.width > _WIDEST:
        shot = shot.resize((_WIDEST, round(shot.height * _WIDEST / shot.width)), Image.Resampling.LANCZOS)
    target = directory / f"{name}.png"
    for colours in _COLOURS:
        # The method that keeps a colour that is rare: a side or a level may cover few pixels.
        small = shot.quantize(colours, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        small.save(target, optimize=True)
        if target.stat().st_size <= _MOST_BYTES:
            break
    else:
        raise AssertionError(f"{name} has {target.stat().st_size} bytes")
    assert len(shot.getcolors(1 << 24) or ()) > 50, f"{name} is empty"


def _directory(tmp_path: Path) -> Path:
    if not os.environ.get("KEEP_PICTURES"):
        return tmp_path
    _DOCS.mkdir(exist_ok=True)
    return _DOCS


def test_pictures_of_a_cascade(demo: "Command", visits: "Visits", tmp_path: Path) -> None:
    where = _directory(tmp_path)
    raised = "() => document.getElementById('level').dataset.level === 'EXTREME'"
    for name, width, height, theme, scale in (
        ("cascade-dark", 1440, 900, "dark", 1),
        ("cascade-light", 1440, 900, "light", 1),
        ("phone-dark", 360, 780, "dark", 2),
        ("phone-light", 360, 780, "light", 2),
        ("wall-dark", 2560, 1440, "dark", 1),
    ):
        page = visits.open(f"{demo.url}/#BTCUSDT/5m", width, height, color_scheme=theme, device_scale_factor=scale)
        page.wait_for_function(raised)
        visits.until(page, _FILLED)
        if where == _DOCS:  # a chart with a past
            page.wait_for_function(
                "() => !/warming up [0-3]:/.test(document.getElementById('notices').textContent)", timeout=400_000
            )
        _take(page, name, where)


def test_picture_of_a_replay(played: "Callable[[], str]", visits: "Visits", tmp_path: Path) -> None:
    where = _directory(tmp_path)
    visits.expects_failures = True  # until its first liquidation an instrument is not known
    page = visits.open(f"{played()}/#BTCUSDT/1h", color_scheme="dark")
    page.wait_for_function("() => document.getElementById('mode').textContent === 'REPLAY'")
    assert page.title().startswith("REPLAY")
    page.locator("#replay-seek").evaluate("each => { each.value = 735; each.dispatchEvent(new Event('change')) }")
    visits.until(
        page,
        "async () => { const { replay } = (await import('/static/stream.js')).store.now;"
        " return replay.at_ms > replay.from_ms + 0.72 * (replay.until_ms - replay.from_ms) }",
    )
    visits.until(page, _FILLED)
    page.wait_for_function(
        "() => /[1-9]\\d instruments|[1-9]\\d with/.test(document.getElementById('instruments-facts').textContent)"
    )
    _take(page, "replay", where)
    page.click("#replay-pause")
    visits.until(page, "async () => (await import('/static/stream.js')).store.now.replay.is_paused")


def test_pictures_of_calm_warming_up_outage_and_gone(
    staged: "Callable[..., Stage]", visits: "Visits", tmp_path: Path
) -> None:
    where = _directory(tmp_path)
    stage = staged("calm", knows_usual=True)
    visits.expects_failures = True  # until its first liquidation an instrument is not known
    page = visits.open(f"{stage.url}/#BTCUSDT/5m", color_scheme="dark")
    visits.until(page, _FILLED)
    _take(page, "warming-up", where)
    if where == _DOCS:  # five minutes of a calm market, for the picture alone
        page.wait_for_function("() => document.querySelector('#notices .warming') === null", timeout=400_000)
    _take(page, "calm", where)
    stage.call(lambda: stage.simulator.refuse("okx", 503))
    stage.call(lambda: stage.simulator.silence("okx"))
    page.wait_for_function("() => /^3 of 4/.test(document.getElementById('venues').textContent)")
    page.wait_for_timeout(10_000 if where == _DOCS else 0)
    _take(page, "outage", where)
    stage.end()
    page.wait_for_function("() => !document.getElementById('gone').hidden")
    page.wait_for_timeout(6_000 if where == _DOCS else 0)
    _take(page, "gone", where)
