"""What the documentation shows is run; what it links exists."""

import doctest
import re
from pathlib import Path

import pytest

from liqtape import Settings, Tracker
from liqtape.venues import VENUES
from liqtape.venues.base import Backfills, Venue, is_partial

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [
        *ROOT.glob("docs/**/*.md"),
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "SECURITY.md",
        ROOT / "CHANGELOG.md",
    ]
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_of_the_page_give_what_it_shows(page: Path) -> None:
    failures, _ = doctest.testfile(str(page), module_relative=False)

    assert failures == 0


@pytest.mark.parametrize("page", ["time", "metrics"])
def test_the_explanations_have_examples(page: str) -> None:
    assert len(doctest.DocTestParser().get_examples((ROOT / f"docs/explanation/{page}.md").read_text())) > 20


def test_the_python_page_names_what_a_tracker_has() -> None:
    page = (ROOT / "docs/reference/python.md").read_text()
    table = page[page.index("| `Tracker(settings") : page.index("Other attributes")]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")]
    named = {re.split(r"\W", name)[0] for cell in cells for name in re.findall("`([^`]+)`", cell)} - {"Tracker"}
    tracker = Tracker(Settings(venues={}))

    assert len(named) > 25
    assert [name for name in sorted(named) if not hasattr(tracker, name)] == []


def _row(venue: Venue) -> str:
    prints = "part of the" if is_partial(venue) else "one" if venue.slot_seconds else "all"
    cells = (
        f"`{venue.name}`",
        "connected" if venue.on_by_default else "not connected",
        "one liquidation a symbol and second" if prints == "one" else f"{prints} liquidations",
        ", ".join(f"`{source.name}`" for source in venue.price_sources) or "none",
        f"{venue.backfill_horizon_s / 3_600:g} h" if isinstance(venue, Backfills) else "no",
    )
    return f"| {' | '.join(cells)} |"


def test_the_page_of_venues_says_what_their_modules_say() -> None:
    lines = (ROOT / "docs/reference/venues.md").read_text("utf-8").splitlines()

    assert [line for line in lines if line.startswith("| `")] == [_row(venue) for venue in VENUES.values()]


@pytest.mark.parametrize("venue", VENUES)
def test_the_first_paragraph_of_the_readme_names_every_venue(venue: str) -> None:
    paragraph = next(text for text in (ROOT / "README.md").read_text("utf-8").split("\n\n") if "listens to" in text)

    assert venue in paragraph.lower()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_the_page_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_report_of_a_hostile_world_names_tests_that_are_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs/reports/hostile-world.md").read_text())

    assert len(named) > 30
    assert [
        name
        for file, name in named
        if not re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE)
    ] == []
