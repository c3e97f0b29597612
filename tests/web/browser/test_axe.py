"""What axe-core finds, in six states: nothing serious or critical."""

from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Page

if TYPE_CHECKING:
    from tests.web.browser.conftest import Command, Stage, Visits

_AXE = files("axe_playwright_python") / "axe.min.js"
_FILLED = (
    "() => document.querySelectorAll('#instruments tbody tr').length > 3"
    " && document.querySelector('#trust-table tbody tr')"
    " && document.querySelector('#cascades-table tbody tr') && document.querySelector('#together-body').children.length"
)


def _problems(page: Page) -> list[str]:
    page.evaluate(_AXE.read_text())
    found: dict[str, Any] = page.evaluate("axe.run()")
    return [
        f"{each['impact']} {each['id']}: {node['html'][:200]} {node.get('failureSummary', '')[:300]}"
        for each in found["violations"]
        if each["impact"] in {"serious", "critical"}
        for node in each["nodes"][:3]
    ]


@pytest.mark.parametrize(
    ("theme", "width", "height"),
    [("dark", 1440, 900), ("light", 1440, 900), ("dark", 360, 780)],
    ids=["dark", "light", "phone"],
)
def test_a_cascade(theme: str, width: int, height: int, demo: "Command", visits: "Visits") -> None:
    page = visits.open(demo.url, width, height, color_scheme=theme)
    page.wait_for_function("() => document.getElementById('level').dataset.level !== 'NONE'")
    page.wait_for_function(_FILLED)
    assert _problems(page) == []


def test_calm_and_an_outage(staged: "Callable[..., Stage]", visits: "Visits") -> None:
    stage = staged("calm", knows_usual=True)
    page = visits.open(stage.url)
    page.wait_for_function(_FILLED)
    assert _problems(page) == []
    page.keyboard.press("?")
    assert _problems(page) == []
    page.keyboard.press("Escape")
    stage.call(lambda: stage.simulator.refuse("okx", 503))
    stage.call(lambda: stage.simulator.silence("okx"))
    page.wait_for_function("() => /^3 of 4/.test(document.getElementById('venues').textContent)")
    assert _problems(page) == []
    visits.expects_failures = True
    stage.end()
    page.wait_for_function("() => !document.getElementById('gone').hidden")
    assert _problems(page) == []
