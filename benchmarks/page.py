"""The page in a browser: first paint with data, frames and memory at 1,000 liquidations/s, and its weight.

The service is another process, fed by a wrapped stream. Needs playwright and Debian's Chromium. A frame that is late
because another program had the core counts as late here; the busy share of the page's own thread travels better.
"""

import asyncio
import gzip
import itertools
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import liqtape.web
from benchmarks.measure import FULL, Figure, Scale, figure, percentile, short
from liqtape.cli.serving import page_beside
from liqtape.events import Liquidation, Side
from liqtape.settings import HistorySettings, RedisSettings, Settings, VenueSettings, WebSettings
from liqtape.tracker import Tracker
from liqtape.venues import VENUES

_CHROMIUM = "/usr/bin/chromium"
_RATE = 1_000
_INSTRUMENTS = 300
_SECONDS_FACTOR = 40  # of the scale: a minute of frames at full
_FRAMES = """seconds => new Promise(done => {
  const deltas = [];
  let last = performance.now();
  const end = last + 1000 * seconds;
  const frame = at => {
    deltas.push(at - last);
    last = at;
    at < end ? requestAnimationFrame(frame) : done(deltas.slice(2));
  };
  requestAnimationFrame(frame);
})"""
_FIRST = """() => { new MutationObserver((_, observer) => {
  if (/venues/.test(document.getElementById('venues')?.textContent ?? '')) {
    observer.disconnect();
    requestAnimationFrame(() => { window.withData = performance.now() });
  }
}).observe(document, { childList: true, subtree: true, characterData: true }) }"""
_WHOLE = """() => {
  const rows = of => document.querySelectorAll(`#${of} tbody tr`).length;
  const isDrawn = /price \\d/.test(document.getElementById('price-readout').textContent);
  return isDrawn && rows('instruments') > 20 && rows('tape') > 20 && performance.now();
}"""


def run(scale: Scale) -> list[Figure]:
    """Weight, first paint, frames, busy share and growth of memory."""
    from playwright.sync_api import sync_playwright

    seconds = scale.seconds * _SECONDS_FACTOR
    command = [sys.executable, "-m", "benchmarks.page", "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as service:
        if service.stdout is None:
            raise RuntimeError("the service has no output")
        url = service.stdout.readline().strip()
        with sync_playwright() as playwright:
            flags = ["--no-sandbox", "--enable-precise-memory-info", "--js-flags=--expose-gc"]
            browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=flags)
            firsts = [_first_paint(browser, url) for _ in range(scale.rounds)]
            deltas, busy, growth = _watched(browser, url, seconds)
            browser.close()
        service.terminate()
    measured = f"{_RATE:,} liquidations/s over {_INSTRUMENTS} instruments, {seconds:g} s, 1440 x 900"
    loopback = "loopback, nothing cached, 1440 x 900"
    late = 100 * sum(delta >= 20 for delta in deltas) / len(deltas)
    return [
        figure("the page and its scripts, gzip", [_weight()], "KB", "all files that a first visit loads", at_most=120),
        figure("first paint with data", [first for first, _ in firsts], "ms", f"{loopback}; wished: below 500"),
        figure("tables and chart", [whole for _, whole in firsts], "ms", loopback),
        figure("frames of 20 ms and more", [late], "%", f"{measured}; wished: below 1"),
        figure("frame, p99", [percentile(deltas, 0.99)], "ms", measured),
        figure("the page's thread has the CPU", [busy], "%", measured),
        figure("growth of the heap", [growth], "MB", f"{measured}, after a collection, from a third of it on"),
    ]


def _weight() -> float:
    static = Path(liqtape.web.__file__).parent / "static"
    sent = [path for path in static.rglob("*") if path.suffix in {".html", ".css", ".js", ".svg"}]
    return sum(len(gzip.compress(path.read_bytes())) for path in sent) / 1024


def _first_paint(browser: Any, url: str) -> tuple[float, float]:
    """When the sentence is painted, and when the tables and the chart are there, too."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.add_init_script(f"({_FIRST})()")
    page.goto(url)
    page.wait_for_function("() => window.withData")
    first: float = page.evaluate("window.withData")
    whole: float = page.wait_for_function(_WHOLE).json_value()
    context.close()
    return first, whole


def _watched(browser: Any, url: str, seconds: float) -> tuple[list[float], float, float]:
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.goto(url)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})  # CPU time, whoever else has the core
    page.wait_for_timeout(3_000)
    heaps, deltas, busy = [], [], []
    for _ in range(3):
        began, tasks = time.perf_counter(), _tasks(session)
        deltas += page.evaluate(_FRAMES, seconds / 3)
        busy.append(100 * (_tasks(session) - tasks) / (time.perf_counter() - began))
        heaps.append(page.evaluate("() => { window.gc?.(); return performance.memory.usedJSHeapSize / 1048576 }"))
    return deltas, busy[-1], heaps[-1] - heaps[0]


def _tasks(session: Any) -> float:
    told = session.send("Performance.getMetrics")["metrics"]
    return next(float(each["value"]) for each in told if each["name"] == "TaskDuration")


async def _serve() -> None:
    venues = {name: VenueSettings(enabled=False) for name in VENUES}
    settings = Settings(venues=venues, redis=RedisSettings("off"), history=HistorySettings("off"))
    tracker = Tracker(settings)
    async with page_beside(tracker, WebSettings(listen="127.0.0.1:0"), settings.history) as notes, tracker:
        print(notes[0].removeprefix("Page: "), flush=True)
        ledger = tracker.new_ledger()
        began, numbers = time.monotonic(), itertools.count()
        sent = 0
        while True:
            due = int((time.monotonic() - began) * _RATE)
            for number in itertools.islice(numbers, due - sent):
                tracker.admit(_liquidation(number), ledger)
            sent = due
            await asyncio.sleep(0.05)


def _liquidation(number: int) -> Liquidation:
    now = time.time_ns() // 1_000_000
    name = f"COIN{number * 7919 % _INSTRUMENTS}USDT"
    usd = 50.0 * (1 + number * 31 % 997) ** 1.5
    side: Side = "long" if number % 5 else "short"
    return Liquidation("wrapped", name, name, side, 100.0 + number % 17, "fill", usd / 100, usd, now, now, str(number))


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(_serve())
    else:
        for one in run(FULL):
            wished = f"  [{one.target}: {one.verdict}]" if one.target else ""
            print(f"{one.name:<34} {short(one.median):>9} {one.unit:<3} ({one.measured}){wished}")
