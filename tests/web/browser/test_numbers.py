"""The numbers on the page are those of the API and of Redis."""

import random
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import redis

if TYPE_CHECKING:
    from tests.web.browser.conftest import Command, Visits

_INSTANTS = 20
_TRIES = 400
_FIELDS = ("velocity_10s", "velocity_60s", "times_usual", "usd", "level", "venues")

# What the page shows of an instrument, by column.
_SHOWN = """name => {
  const row = [...document.querySelectorAll('#instruments tbody tr')].find(each => each.dataset.symbol === name);
  if (!row) return null;
  const text = place => (row.cells[place].querySelector('.why')?.firstChild ?? row.cells[place]).textContent.trim();
  return { level: text(2), velocity_10s: text(3), velocity_60s: text(4), usd: text(5), times_usual: text(6) };
}"""

# The same of an answer, written by the page's own formats.
_WRITTEN = """async row => {
  const { usd, times, rate } = await import('/static/format.js');
  const { velocity } = await import('/static/states.js');
  return { level: row.level === 'NONE' ? 'calm' : row.level, velocity_10s: velocity(row, 10, 3e5).text,
           velocity_60s: velocity(row, 60, 3e5).text, usd: usd(row.long_usd_60s + row.short_usd_60s),
           times_usual: times(row.times_usual) };
}"""


def test_page_api_and_redis_agree_at_twenty_instants(demo: "Command", visits: "Visits") -> None:
    page = visits.open(demo.url)
    page.wait_for_function("() => document.querySelectorAll('#instruments tbody tr').length > 10")
    client = redis.Redis(port=demo.redis_port, db=1, decode_responses=True)
    dice = random.Random(14)
    agreed: set[str] = set()
    instants = 0
    for _ in range(_TRIES):
        names = page.evaluate("[...document.querySelectorAll('#instruments tbody tr')].map(row => row.dataset.symbol)")
        name = dice.choice(names)
        before = page.evaluate(_SHOWN, name)
        row: dict[str, Any] = demo.ask(f"/api/v1/metrics/{quote(name, safe='')}")["row"]
        kept: Any = client.hgetall(f"velocity:{name}:current")
        # An instant at which nothing changed between the three looks; two of them may be a window's edge apart.
        if before is None or before != page.evaluate(_SHOWN, name) or not _is_one_state(row, kept):
            continue
        if before != page.evaluate(_WRITTEN, row):
            continue
        agreed.add(name)
        instants += 1
        page.wait_for_timeout(dice.randrange(300))
        if instants == _INSTANTS:
            break
    client.close()
    assert instants == _INSTANTS
    assert len(agreed) >= 5


def _is_one_state(row: dict[str, Any], kept: dict[str, str]) -> bool:
    fields = [f"{what}_{window}s" for what in ("long_count", "short_count", "velocity_est") for window in (10, 60)]
    return kept.get("level") == row["level"] and all(float(kept.get(each, "nan")) == row[each] for each in fields)


def test_the_sentence_is_what_now_answers(demo: "Command", visits: "Visits") -> None:
    page = visits.open(demo.url)
    visits.until(
        page,
        """async () => {
          const { usd, times } = await import('/static/format.js');
          const now = await (await fetch('/api/v1/now')).json();
          const text = document.getElementById('sentence').textContent;
          const venues = `${now.trust.venues_live} of ${now.trust.venues_total} venues`;
          const level = now.level === 'NONE' ? 'calm' : now.level;
          const parts = [`${usd(now.usd_60s)} in 60 s`, `${times(now.times_usual)} \u00d7`];
          return text.startsWith(level) && parts.every(part => text.includes(part))
            && document.getElementById('venues').textContent === venues;
        }""",
    )


def test_the_ledger_is_that_of_the_api(demo: "Command", visits: "Visits") -> None:
    page = visits.open(demo.url)
    visits.until(
        page,
        """async () => {
          const { total } = await (await fetch('/api/v1/ledger')).json();
          const text = document.getElementById('ledger').textContent;
          const shown = Number(/and ([\\d,]+) liquidations/.exec(text)?.[1].replaceAll(',', ''));
          return shown > 0 && total.events_decoded - shown >= 0 && total.events_decoded - shown < 3000;
        }""",
    )
    page.click("#sums summary")
    rows = page.locator("#sums-body tr").all_text_contents()
    assert any(row.startswith("events accepted") for row in rows)
