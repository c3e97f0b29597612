"""What the page says when something is missing: warming up, an outage, a service that is gone and comes back."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from liqtape.settings import WebSettings

if TYPE_CHECKING:
    from tests.web.browser.conftest import Command, Stage, Visits

_AGES = "() => parseFloat(/data ([\\d.]+) s old/.exec(document.getElementById('age').textContent)?.[1] ?? 99) < 5"


def test_warming_up_is_striped_and_says_how_far(staged: "Callable[..., Stage]", visits: "Visits") -> None:
    page = visits.open(staged("calm").url)
    expect(page.locator("#notices .warming")).to_have_text(re.compile(r"warming up \d:\d\d of 5:00"))
    cell = page.locator("#instruments tbody .warming").first
    expect(cell).to_have_text(re.compile("warming up: .* watched so far"))
    expect(page.locator("#covered")).to_be_hidden()


def test_what_is_not_known_is_a_dash_with_its_reason(staged: "Callable[..., Stage]", visits: "Visits") -> None:
    page = visits.open(staged("calm").url)
    # Nothing was learned by this service, so nothing is usual.
    unknown = page.locator("#instruments tbody tr:first-child td:nth-child(7) .unknown")
    expect(unknown).to_have_text(re.compile("^\u2013 nothing to compare with"))
    reason = unknown.locator(".because")
    assert reason.bounding_box()["width"] <= 1  # type: ignore[index]
    unknown.focus()
    assert reason.bounding_box()["width"] > 50  # type: ignore[index]
    expect(page.locator("#size")).to_contain_text("usual not known yet")


def test_a_silent_venue_is_named_and_its_windows_are_partial(staged: "Callable[..., Stage]", visits: "Visits") -> None:
    stage = staged("calm", knows_usual=True)
    page = visits.open(stage.url)
    expect(page.locator("#venues")).to_have_text("4 of 4 venues")
    stage.call(lambda: stage.simulator.refuse("okx", 503))
    stage.call(lambda: stage.simulator.silence("okx"))
    page.wait_for_function("() => /^3 of 4 venues: okx /.test(document.getElementById('venues').textContent)")
    expect(page.locator("#venues")).to_have_class("bad")
    row = page.locator("#trust-table tr", has=page.locator("b:text-is('okx')")).first
    expect(row.locator(".state-bad")).to_be_visible()
    stage.call(lambda: stage.simulator.refuse("okx", None))
    stage.call(lambda: stage.simulator.resume("okx"))
    expect(page.locator("#venues")).to_have_text("4 of 4 venues", timeout=60_000)
    page.locator("#gaps summary").click()
    expect(page.locator("#gaps-body tr", has_text="okx").first).to_be_visible()


def test_a_sink_that_is_away_is_named(staged: "Callable[..., Stage]", visits: "Visits") -> None:
    page = visits.open(staged(redis="redis://127.0.0.1:1").url)
    expect(page.locator("#notices .wrong")).to_have_text("not written: redis, see the log", timeout=60_000)


def test_a_service_that_says_nothing_is_said_to_be_gone(visits: "Visits", own_demo: "Callable[..., Command]") -> None:
    demo = own_demo("--scenario", "calm")
    page = visits.open(demo.url)
    expect(page.locator("#gone")).to_be_hidden()
    visits.expects_failures = True
    page.evaluate("() => { const now = Date.now; Date.now = () => now() - 3_600_000 }")  # its clock is put back
    demo.freeze()
    page.wait_for_function(
        "() => /^No word from liqtape for \\d+ s; this was true at \\d\\d:\\d\\d:\\d\\d/"
        ".test(document.getElementById('gone').textContent)"
    )
    assert page.evaluate("getComputedStyle(document.querySelector('main')).filter") == "grayscale(1)"
    demo.thaw()
    expect(page.locator("#gone")).to_be_hidden(timeout=60_000)
    page.wait_for_function(_AGES)


def test_a_restarted_service_is_found_again_by_itself(staged: "Callable[..., Stage]", visits: "Visits") -> None:
    first = staged("calm")
    page = visits.open(first.url)
    page.evaluate("window.isSamePage = true")
    visits.expects_failures = True
    first.end()
    expect(page.locator("#gone")).to_be_visible(timeout=60_000)
    staged("calm", web=WebSettings(listen=first.url.removeprefix("http://")))
    expect(page.locator("#gone")).to_be_hidden(timeout=60_000)
    page.wait_for_function(_AGES)
    assert page.evaluate("window.isSamePage")
    visits.until(
        page,
        "async () => { const ms = (await (await fetch('/api/v1/health')).json()).started_ms;"
        " const shown = (await import('/static/format.js')).clock(ms, true);"
        " return document.getElementById('trust-facts').textContent.includes(shown) }",
    )


def test_a_frozen_tab_catches_up(demo: "Command", visits: "Visits") -> None:
    page = visits.open(demo.url)
    session = page.context.new_cdp_session(page)
    session.send("Page.setWebLifecycleState", {"state": "frozen"})
    before = demo.ask("/api/v1/now")["events_total"]
    while demo.ask("/api/v1/now")["events_total"] < before + 200:
        page.wait_for_timeout(200)
    session.send("Page.setWebLifecycleState", {"state": "active"})
    page.wait_for_function(_AGES)
    expect(page.locator("#gone")).to_be_hidden(timeout=60_000)


def test_a_reload_shows_the_same_view(demo: "Command", visits: "Visits") -> None:
    page = visits.open(demo.url)
    page.locator("#instruments td.name button", has_text="ETHUSDT").click()
    page.locator("#ranges button", has_text="1h").click()
    page.locator("#theme").click()
    page.select_option("#tape-least", "10000")
    page.reload()
    expect(page.locator("#chart-name")).to_have_text("ETHUSDT")
    expect(page.locator("#ranges button[aria-pressed=true]")).to_have_text("1h")
    expect(page.locator("#theme")).to_have_text("Dark")
    assert page.input_value("#tape-least") == "10000"
    assert page.url.endswith("#ETHUSDT/1h")


def test_only_a_change_of_level_is_announced(staged: "Callable[..., Stage]", visits: "Visits") -> None:
    stage = staged("cascade", knows_usual=True)
    page = visits.open(stage.url)
    assert page.locator("[aria-live]").count() == 1
    page.wait_for_function("() => document.getElementById('level').dataset.level !== 'NONE'")
    page.wait_for_function(
        "() => { const level = document.getElementById('level').dataset.level;"
        " return document.getElementById('announce').textContent.startsWith(`${level}: `) }"
    )


def test_the_row_under_the_pointer_stays(demo: "Command", visits: "Visits") -> None:
    page = visits.open(demo.url)
    page.wait_for_function("() => document.querySelectorAll('#instruments tbody tr').length > 8")
    row = page.locator("#instruments tbody tr").nth(5)
    row.locator("td").nth(5).hover()
    place = "() => [...document.querySelectorAll('#instruments tbody tr')].findIndex(each => each.matches(':hover'))"
    assert page.evaluate(place) == 5
    name = page.evaluate("document.querySelector('#instruments tbody tr:hover').dataset.symbol")
    for key in ("symbol", "velocity_60s", "times_usual"):  # the order of all others changes
        page.evaluate("key => document.querySelector(`#instruments th[data-key=${key}] button`).click()", key)
        assert page.evaluate("document.querySelector('#instruments tbody tr:hover').dataset.symbol") == name
