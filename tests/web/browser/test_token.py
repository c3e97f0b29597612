"""A page that asks for a token: the door, a wrong one, the right one, and the cookie afterwards."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from liqtape.settings import WebSettings

if TYPE_CHECKING:
    from tests.web.browser.conftest import Stage, Visits


def test_a_token_opens_the_page_once_and_for_all(
    staged: "Callable[..., Stage]", visits: "Visits", tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("a token that nobody guesses\n")
    token.chmod(0o600)
    stage = staged("calm", web=WebSettings(listen="127.0.0.1:0", token_file=str(token)))
    visits.expects_failures = True  # the door answers 401
    page = visits.window(stage.url)
    page.fill("#token", "a guess")
    page.click("button")
    expect(page.locator("body")).to_contain_text("the token is wrong")
    page.goto(stage.url)
    page.fill("#token", "a token that nobody guesses")
    page.click("button")
    expect(page.locator("#venues")).to_have_text("4 of 4 venues", timeout=60_000)
    page.goto(stage.url)
    expect(page.locator("#venues")).to_have_text("4 of 4 venues", timeout=60_000)
    assert page.evaluate("document.cookie") == ""  # no script reads it
    assert "token" not in page.url
