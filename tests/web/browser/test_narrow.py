"""A phone of 360 px: the five answers without scrolling, and nothing beyond the edge."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.web.browser.conftest import Command, Visits


def test_five_answers_without_scrolling(demo: "Command", visits: "Visits") -> None:
    page = visits.open(demo.url, 360, 780, has_touch=True, is_mobile=True)
    page.wait_for_function("() => document.getElementById('level').dataset.level !== 'NONE'")
    for answer in ("level", "who", "size", "venues", "age", "since"):
        box = page.locator(f"#{answer}").bounding_box()
        assert box is not None, answer
        assert box["y"] + box["height"] <= 400, answer
        assert box["x"] >= 0, answer
        assert box["x"] + box["width"] <= 360, answer


@pytest.mark.parametrize("width", [360, 720, 1200, 1440, 2560])
def test_nothing_reaches_over_the_edge(width: int, demo: "Command", visits: "Visits") -> None:
    page = visits.open(demo.url, width, 900)
    page.wait_for_function("() => document.querySelectorAll('#instruments tbody tr').length > 3")
    page.wait_for_function("() => document.querySelector('#trust-table tbody tr') !== null")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # The columns of these two are chosen for each width: none is cut off.
    for table in ("instruments-scroll", "tape-scroll"):
        page.wait_for_function(
            f"() => document.querySelector('#{table} tbody td.inst, #{table} tbody td.name') !== null"
        )
        # (A number that grew by a digit is a frame ahead of the columns, which follow it.)
        page.wait_for_function(
            f"() => {{ const e = document.getElementById('{table}'); return e.scrollWidth <= e.clientWidth }}"
        )


def test_targets_are_large_enough(demo: "Command", visits: "Visits") -> None:
    page = visits.open(demo.url, 360, 780)
    page.wait_for_selector("#instruments tbody tr")
    small = page.evaluate(
        "() => [...document.querySelectorAll('button, select, input, summary')].filter(each => each.offsetParent)"
        ".map(each => [each.textContent.slice(0, 20) || each.id, each.getBoundingClientRect()])"
        ".filter(([, box]) => box.width < 24 || box.height < 24)"
        ".map(([name, box]) => `${name} ${box.width}x${box.height}`)"
    )
    assert small == []
