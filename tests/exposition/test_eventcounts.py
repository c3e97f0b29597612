"""Counters per instrument: bounded, never going back, and true in sum."""

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape import VelocityEngine
from liqtape.engine.velocity import StreamTotals
from liqtape.events import Liquidation, Side
from liqtape.exposition import eventcounts
from liqtape.exposition.causes import bounded_causes
from liqtape.exposition.eventcounts import OTHER, EventCounts, SeriesBudget

_NAMES = [f"C{number}USDT" for number in range(8)]
_MS = 1_790_000_000_000


def closed(instrument: str, side: Side | None = "long", usd: float | None = 100.0, at_ms: int = _MS) -> Liquidation:
    return Liquidation("bybit", instrument, instrument, side, 1.0, "fill", 1.0, usd, at_ms, at_ms + 250, "")


def totals(came: Counter[tuple[str, Side]]) -> Iterator[StreamTotals]:
    for (name, side), count in came.items():
        yield StreamTotals(name, "bybit", side, count, 100_000_000 * count)


@given(
    st.lists(st.lists(st.tuples(st.sampled_from(_NAMES), st.sampled_from(["long", "short"])), max_size=6), max_size=12)
)
def test_no_counter_goes_back_and_their_sum_is_what_came(scrapes: list[list[tuple[str, Side]]]) -> None:
    counts, budget = EventCounts(), SeriesBudget(limit=3)
    before: dict[tuple[str, str], int] = {}
    came: Counter[tuple[str, Side]] = Counter()

    for batch in scrapes:
        came.update(batch)
        counts.count(totals(came), 0)
        exposed = budget.choose(counts, 0)
        now = dict(budget.counters())

        assert len(exposed) <= 3
        assert {name for name, _ in now} <= {*exposed, OTHER}
        assert [key for key, count in now.items() if count < before.get(key, 0)] == []
        before |= now  # a series that vanished goes on from where it was
        for side in ("long", "short"):
            seen = sum(count for (_, own), count in before.items() if own == side)
            assert seen == sum(count for (_, own), count in came.items() if own == side)


def test_quiet_instruments_lose_their_series() -> None:
    counts, budget = EventCounts(), SeriesBudget(forget_ms=900_000)
    counts.count(totals(Counter({("BTCUSDT", "long"): 3})), _MS)
    counts.count(totals(Counter({("BTCUSDT", "long"): 3})), _MS + 600_000)  # nothing new

    assert budget.choose(counts, _MS + 899_999) == ("BTCUSDT",)
    assert budget.choose(counts, _MS + 900_000) == ()


def test_instruments_beyond_the_bound_are_counted_as_others(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = EventCounts()
    monkeypatch.setattr(eventcounts, "_MOST_KEYS", 2)
    counts.count(totals(Counter({("A", "long"): 2, ("B", "long"): 1, ("C", "long"): 4, ("D", "long"): 3})), 0)

    assert counts.events == {("bybit", "A", "long"): 2, ("bybit", "B", "long"): 1, ("bybit", OTHER, "long"): 7}
    assert SeriesBudget().choose(counts, 0) == ("A", "B")


@given(
    st.lists(
        st.tuples(st.sampled_from("AB"), st.sampled_from(["long", "short", None]), st.integers(0, 700)), max_size=80
    )
)
def test_the_engine_knows_all_it_was_given_forgotten_ones_included(
    given_events: list[tuple[str, Side | None, int]],
) -> None:
    engine, came, usd = VelocityEngine(), Counter[tuple[str, str | None]](), Counter[str | None]()
    at_ms = _MS
    for number, (name, side, seconds) in enumerate(given_events):
        at_ms += 1_000 * seconds
        engine.add(closed(name, side, 1.0 + number, at_ms))
        engine.metrics(name, at_ms)
        came[name, side] += 1
        usd[side] += 1 + number

    counts = EventCounts()
    counts.count(engine.ever_added(), 0)
    assert counts.by_instrument() == Counter({(name, side or "unknown"): n for (name, side), n in came.items()})
    assert counts.usd == {("bybit", side or "unknown"): float(value) for side, value in usd.items()}


def test_a_counter_stays_where_an_event_is_taken_out() -> None:
    engine, counts = VelocityEngine(), EventCounts()
    for name in ("A", "A", "B"):
        engine.add(closed(name))
    counts.count(engine.ever_added(), 0)
    engine.take_out(closed("A"), _MS)
    counts.count(engine.ever_added(), 0)

    assert counts.by_instrument() == {("A", "long"): 2, ("B", "long"): 1}
    assert counts.usd == {("bybit", "long"): 300.0}


def test_one_batch_in_16_is_timed() -> None:
    counts = EventCounts()
    for number in range(64):
        counts.accepted([closed("A"), closed("A")], is_news=number != 31)

    assert sum(counts.lag["bybit"].counts) == sum(counts.to_window.counts) == 3
    assert counts.lag["bybit"].sum == 0.75


def test_no_label_takes_what_a_stranger_says() -> None:
    said = Counter(
        {f"closed_{code}": 1 for code in range(1000, 5000)} | {f"http_{code}": 1 for code in range(100, 600)}
    )

    assert len(bounded_causes(said | Counter({f"text {number}": 1 for number in range(500)}))) < 30
