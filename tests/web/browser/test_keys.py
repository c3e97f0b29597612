"""The page without a mouse."""

from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from tests.web.browser.conftest import Command, Visits


def test_everything_is_reached_by_keys(demo: "Command", visits: "Visits") -> None:
    page = visits.open(demo.url)
    press = page.keyboard.press
    rows = page.locator("#instruments tbody tr")
    press("/")
    page.keyboard.type("btcusdt")
    expect(page.locator("#filter")).to_be_focused()
    page.wait_for_function(
        "() => [...document.querySelectorAll('#instruments tbody tr')]"
        ".every(row => row.dataset.symbol?.includes('BTCUSDT'))"
    )
    press("Escape")
    page.wait_for_function("() => document.querySelectorAll('#instruments tbody tr').length > 5")
    press("j")
    press("ArrowDown")
    press("k")
    focused = page.evaluate("document.activeElement.closest('tr').dataset.symbol")
    press("Enter")
    expect(page.locator("#chart-name")).to_have_text(focused)
    for key, name in zip("12345", ("5m", "15m", "1h", "6h", "24h"), strict=True):
        press(key)
        expect(page.locator("#ranges button[aria-pressed=true]")).to_have_text(name)
    assert page.url.endswith(f"#{focused}/24h")
    press("p")
    expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")
    press("p")
    press("t")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    press("t")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    press("u")
    expect(page.locator("#zone")).to_have_text("Local")
    press("?")
    expect(page.locator("#help")).to_be_visible()
    press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    assert rows.count() > 5


def test_the_focus_is_seen_and_the_table_is_one_stop(demo: "Command", visits: "Visits") -> None:
    page = visits.open(demo.url)
    page.wait_for_selector("#instruments tbody tr")
    page.bring_to_front()
    seen: list[str] = []
    stops = 0
    for _ in range(80):
        page.keyboard.press("Tab")
        where, outline, in_table = page.evaluate(
            "() => { const a = document.activeElement; return [a.id || a.textContent.slice(0, 20),"
            " getComputedStyle(a).outlineStyle, a.closest('#instruments tbody') !== null] }"
        )
        assert outline != "none", f"{where!r} after {seen}"
        seen.append(where)
        stops += in_table
        if where == "tape-least":
            break
    assert "filter" in seen
    assert "tape-least" in seen
    assert 1 <= stops <= 12  # the buttons and reasons of one row


def test_the_focus_stays_in_its_row_while_others_move(demo: "Command", visits: "Visits") -> None:
    page = visits.open(demo.url)
    page.wait_for_function("() => document.querySelectorAll('#instruments tbody tr').length > 4")
    page.evaluate("() => document.querySelectorAll('#instruments tbody tr')[3].querySelectorAll('button')[1].focus()")
    focused = "() => document.activeElement.closest('#instruments tbody tr')?.dataset.symbol ?? 'nowhere'"
    symbol = page.evaluate(focused)
    shown = "() => [...document.querySelectorAll('#instruments tbody tr')].map(row => row.dataset.symbol).join()"

    orders, places = set(), set()
    for _ in range(32):
        page.wait_for_timeout(250)
        places.add(page.evaluate(focused))
        orders.add(page.evaluate(shown))
        if len(orders) > 4:
            break

    assert places == {symbol}
    assert len(orders) > 1  # else nothing has been shown


def test_the_chart_has_a_table_with_the_same_numbers(demo: "Command", visits: "Visits") -> None:
    page = visits.open(f"{demo.url}/#BTCUSDT/5m")
    page.click("#as-table")
    page.wait_for_selector("#chart-table tbody tr")
    assert page.locator("#plots").is_hidden()
    total = (
        "rows => rows.flatMap(row => [row.cells[1], row.cells[2]]).map(cell => Number(cell.textContent) || 0)"
        ".reduce((sum, each) => sum + each, 0)"
    )
    assert page.locator("#chart-table tbody tr").evaluate_all(total) > 0
    page.click("#as-table")
    assert page.locator("#plots").is_visible()
