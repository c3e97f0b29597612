"""Counters per instrument: bounded, never going back, and true in sum."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape.events import Liquidation, Side
from liqtape.exposition import eventcounts
from liqtape.exposition.causes import bounded_causes
from liqtape.exposition.eventcounts import OTHER, EventCounts, SeriesBudget

_NAMES = [f"C{number}USDT" for number in range(8)]


def closed(instrument: str, side: Side | None = "long", usd: float | None = 100.0) -> Liquidation:
    return Liquidation("bybit", instrument, instrument, side, 1.0, "fill", 1.0, usd, 1_000, 1_250, "")


@given(
    st.lists(st.lists(st.tuples(st.sampled_from(_NAMES), st.sampled_from(["long", "short"])), max_size=6), max_size=12)
)
def test_no_counter_goes_back_and_their_sum_is_what_came(scrapes: list[list[tuple[str, Side]]]) -> None:
    counts, budget = EventCounts(), SeriesBudget(limit=3)
    before: dict[tuple[str, str], int] = {}
    came: Counter[str] = Counter()

    for batch in scrapes:
        if batch:
            counts.accepted([closed(name, side) for name, side in batch])
        counts.count()
        came.update(side for _, side in batch)
        exposed = budget.choose(counts, 0)
        now = dict(budget.counters())

        assert len(exposed) <= 3
        assert {name for name, _ in now} <= {*exposed, OTHER}
        assert [key for key, count in now.items() if count < before.get(key, 0)] == []
        before |= now  # a series that vanished goes on from where it was
        hidden = {key: count for key, count in before.items() if key not in now}
        for side in ("long", "short"):
            seen = sum(count for (_, own), count in {**now, **hidden}.items() if own == side)
            assert seen == came[side]


def test_quiet_instruments_lose_their_series() -> None:
    counts, budget = EventCounts(), SeriesBudget(forget_ms=900_000)
    counts.accepted([closed("BTCUSDT")])
    counts.count()
    at_ms = counts.newest_ms["BTCUSDT"]

    assert budget.choose(counts, at_ms + 899_999) == ("BTCUSDT",)
    assert budget.choose(counts, at_ms + 900_000) == ()


def test_instruments_beyond_the_bound_are_counted_as_others(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = EventCounts()
    monkeypatch.setattr(eventcounts, "_MOST_KEYS", 2)
    counts.accepted([closed("A"), closed("B"), closed("C"), closed("D"), closed("A")])
    counts.count()

    assert counts.events == {("bybit", "A", "long"): 2, ("bybit", "B", "long"): 1, ("bybit", OTHER, "long"): 2}
    assert SeriesBudget().choose(counts, 0) == ("A", "B")


def test_usd_sides_and_delays() -> None:
    counts = EventCounts()
    for _ in range(16):
        counts.accepted([closed("A", "long", 10.5), closed("A", None, None)])
    counts.accepted([closed("A", "short", 2.0)], is_news=False)
    counts.count()

    assert dict(counts.by_venue()) == {("bybit", "long"): 16, ("bybit", "unknown"): 16, ("bybit", "short"): 1}
    assert dict(counts.usd) == {("bybit", "long"): 168.0, ("bybit", "short"): 2.0}
    assert sum(counts.lag["bybit"].counts) == 1  # of one batch in 16
    assert counts.lag["bybit"].sum == 0.25


def test_many_batches_are_counted_before_anybody_asks() -> None:
    counts = EventCounts()
    for _ in range(5_000):
        counts.accepted([closed("A")])

    assert counts.events == {("bybit", "A", "long"): 4_096}
    counts.count()
    assert counts.events == {("bybit", "A", "long"): 5_000}
    assert sum(counts.lag["bybit"].counts) == sum(counts.to_window.counts) == 256 + 56


def test_no_label_takes_what_a_stranger_says() -> None:
    said = Counter(
        {f"closed_{code}": 1 for code in range(1000, 5000)} | {f"http_{code}": 1 for code in range(100, 600)}
    )

    assert len(bounded_causes(said | Counter({f"text {number}": 1 for number in range(500)}))) < 30
