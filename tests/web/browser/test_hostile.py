"""What a stranger may send: markup, escapes, endless names, and ten thousand liquidations at once."""

import csv
import io
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from liqtape.events import Liquidation, Side

if TYPE_CHECKING:
    from tests.web.browser.conftest import Stage, Visits

HOSTILE = [
    "<img src=x onerror=document.title='HACKED'>",
    "</td></tr></table><script>document.title='HACKED'</script>",
    "javascript:alert(1)//\"'`",
    '=HYPERLINK("http://evil")',
    "A/B:C?d=e#f%2F&amp;&lt;b&gt;",
    "\u202eTDSUCTB \u200b\u0301\u0301",
    "__proto__",
    "X" * 300,
]


def _liquidation(name: str, usd: float | None, number: int = 0, side: Side = "long") -> Liquidation:
    now = time.time_ns() // 1_000_000
    return Liquidation(
        "toy<b>", name, name, side, 10.0, "fill", None if usd is None else usd / 10.0, usd, now, now, f"{name}{number}"
    )


def test_markup_and_escapes_are_shown_as_they_are(staged: "Callable[..., Stage]", visits: "Visits") -> None:
    stage = staged()
    stage.feed(*(_liquidation(name, 5_000.0 + place) for place, name in enumerate(HOSTILE)))
    page = visits.open(stage.url)
    names = "name => document.getElementById('chart-name').textContent === name"
    for name in HOSTILE:
        row = page.locator("#instruments tbody tr").filter(has=page.locator(f"td.name button:text-is({_quoted(name)})"))
        row.locator("td.name button").click()
        page.wait_for_function(names, arg=name)
        page.reload()  # the address leads back to it
        page.wait_for_function(names, arg=name)
        page.wait_for_function("() => /price 10/.test(document.getElementById('price-readout').textContent)")
    assert set(HOSTILE) <= set(page.locator("#tape-table td.inst").all_text_contents())
    assert page.locator("main img, main script, main a, main b:text-is('toy')").count() == 0
    assert "HACKED" not in page.title()


def test_a_file_of_a_hostile_instrument_is_a_plain_table(staged: "Callable[..., Stage]", visits: "Visits") -> None:
    stage = staged()
    stage.until(lambda: stage.tracker.pulses > 2)  # a whole second was watched
    stage.feed(_liquidation(HOSTILE[3], 5_000.0))
    page = visits.open(stage.url)
    page.wait_for_function("() => /price 10/.test(document.getElementById('price-readout').textContent)")
    with page.expect_download() as download:
        page.click("#save-csv")
    with open(download.value.path(), newline="") as file:  # noqa: PTH123 - Playwright's own path
        rows = list(csv.DictReader(io.StringIO(file.read())))
    assert {row["instrument"] for row in rows} == {"'" + HOSTILE[3]}
    assert sum(float(row["long_usd"] or 0) for row in rows) == 5_000.0
    with page.expect_download() as picture:
        page.click("#save-picture")
    assert picture.value.suggested_filename.endswith(".png")
    assert "/" not in picture.value.suggested_filename


def test_an_unknown_size_is_a_dash_and_never_hidden(staged: "Callable[..., Stage]", visits: "Visits") -> None:
    stage = staged()
    stage.feed(_liquidation("UNSIZED", None))
    page = visits.open(stage.url)
    page.select_option("#tape-least", "1000000")
    page.wait_for_selector("#tape-table td.inst:text-is('UNSIZED')")
    assert page.locator("#tape-table tbody tr td:nth-child(5)").text_content() == "\u2013"


def test_a_price_of_many_places_has_room_beside_its_axis(staged: "Callable[..., Stage]", visits: "Visits") -> None:
    stage = staged()
    prices = (0.0000065584, 0.0000065591)
    stage.feed(*(replace(_liquidation("SHIBUSDT", 5_000.0, n), price=price) for n, price in enumerate(prices)))
    page = visits.open(stage.url, 390, 844)
    page.wait_for_function("() => /price 0.00000655/.test(document.getElementById('price-readout').textContent)")
    visits.until(
        page,
        """async () => {
          const axis = (await import('/static/chart.js')).plots.price.axes[1];
          const pen = document.createElement('canvas').getContext('2d');
          pen.font = '11px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';
          const labels = axis._values ?? [''];
          return labels[0].startsWith('0.00000')
            && Math.max(...labels.map((text) => pen.measureText(text).width)) < axis._size;
        }""",
    )


def test_ten_thousand_in_a_second_are_counted_and_the_page_still_answers(
    staged: "Callable[..., Stage]", visits: "Visits"
) -> None:
    stage = staged()
    page = visits.open(stage.url)
    for begin in range(0, 10_000, 500):
        stage.feed(
            *(
                _liquidation(f"T{n % 200}USDT", 100.0 + n, n, "short" if n % 3 else "long")
                for n in range(begin, begin + 500)
            )
        )
    visits.until(
        page, "async () => (await (await fetch('/api/v1/metrics/MARKET')).json()).row.event_count_300s === 10000"
    )
    page.click("#all-instruments")
    page.wait_for_function("() => document.querySelectorAll('#instruments tbody tr').length === 200")
    page.wait_for_function(
        "() => /left out in the rush|hidden below/.test(document.getElementById('tape-facts').textContent)"
    )
    assert page.locator("#tape-table tbody tr").count() <= 60
    page.fill("#filter", "T199")
    page.wait_for_function("() => document.querySelectorAll('#instruments tbody tr').length === 1")
    whole = sum(100 + n for n in range(10_000) if n % 200 == 199)
    shown = page.locator("#instruments tbody tr td:nth-child(6)").text_content()
    assert shown == page.evaluate("async usd => (await import('/static/format.js')).usd(usd)", whole)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
