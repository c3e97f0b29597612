"""Names of strangers: they neither fill memory, nor keep real ones out, nor break a line."""

from collections import Counter

import pytest

from liqtape.engine import VelocityEngine
from liqtape.events import Event, Liquidation, PriceTick, RawLiquidation
from liqtape.exposition.eventcounts import OTHER, EventCounts, SeriesBudget
from liqtape.instruments import LONGEST_SYMBOL, MOST_LISTED, MOST_NEW, MOST_UNLISTED, Contract, Instruments
from liqtape.ledger import Ledger
from liqtape.pipeline.pipeline import Pipeline
from liqtape.venues import VENUES
from liqtape.web.eventmemory import EventMemory

_T = 1_790_000_000_000


def _raw(symbol: str, at_ms: int = _T, venue: str = "binance") -> RawLiquidation:
    return RawLiquidation(venue, symbol, "long", 2.0, "fill", 3.0, "base", at_ms, at_ms)


def _pipeline() -> Pipeline:
    return Pipeline(VelocityEngine(), {"binance": frozenset()})


def _flood(pipeline: Pipeline, ledger: Ledger, count: int, *, at_ms: int = _T, first: int = 0) -> None:
    for number in range(first, first + count, 100):
        pipeline.ingest([_raw(f"X{i}USDT", at_ms) for i in range(number, number + 100)], ledger)


def test_unknown_names_lock_out_no_listed_one_nor_one_that_is_used() -> None:
    pipeline, ledger = _pipeline(), Ledger()
    pipeline.ingest([_raw("USEDUSDT"), _raw("USEDUSDT", _T + 1)], ledger)
    for step in range(6):
        _flood(pipeline, ledger, 400, at_ms=_T + 10 * step, first=400 * step)
        pipeline.ingest([_raw("USEDUSDT", _T + 10 * step + 5)], ledger)
    pipeline.listed(VENUES["binance"], [Contract("binance", "BTCUSDT", "BTCUSDT")], is_whole=True)
    pipeline.ingest([_raw("BTCUSDT", _T + 200), _raw("NEWUSDT", _T + 200)], ledger)
    _flood(pipeline, ledger, 2_500, at_ms=_T + 300, first=50_000)

    assert ledger.events_rejected_invalid == 0
    assert pipeline.engine.window("USEDUSDT", 300, _T + 400) is None  # not used during the second flood
    assert pipeline.instruments.is_listed("binance", "BTCUSDT")
    row = pipeline.engine.metrics("BTCUSDT", _T + 400)
    assert row is not None
    assert row.event_count_300s == 1


def test_what_is_used_stays_and_the_oldest_that_is_not_goes() -> None:
    gone: list[str] = []
    instruments = Instruments(lambda venue, symbol: Contract(venue, symbol, symbol), on_forgotten=gone.extend)
    for number in range(MOST_UNLISTED):
        instruments.sized(_raw(f"X{number}"), "")
    instruments.sized(_raw("X0"), "")
    instruments.sized(_raw("ONE MORE"), "")

    assert set(gone) == {f"X{number}" for number in range(1, 1 + len(gone))}
    assert instruments.forgotten["binance"] == len(gone) == MOST_UNLISTED // 8 + 1


def test_memory_of_names_is_bounded_and_sums_stay_those_of_what_is_left() -> None:
    pipeline, ledger = _pipeline(), Ledger()
    _flood(pipeline, ledger, 3 * MOST_UNLISTED)
    engine = pipeline.engine

    assert ledger.events_accepted == 3 * MOST_UNLISTED
    assert len(engine.instruments()) <= MOST_UNLISTED
    left = len(engine.instruments())
    assert engine.market(_T).event_count_60s == left
    assert pipeline.engine._minutes["binance"].at(_T)[1] == left
    assert sum(totals.events for totals in engine.ever_added()) == ledger.events_accepted
    assert engine.levels is not None
    assert len(engine.levels.streams) <= 2 * MOST_UNLISTED + 10
    for second in range(1, 342, 20):
        pipeline.pulse(_T + 1_000 * second)
    assert engine.market(_T + 345_000).event_count_300s == 0
    assert not pipeline.active


def test_a_frame_brings_a_bounded_number_of_new_names_but_for_the_first() -> None:
    pipeline, ledger = _pipeline(), Ledger()
    pipeline.ingest([_raw(f"F{i}USDT") for i in range(300)], ledger)
    assert ledger.events_accepted == 300
    pipeline.ingest([_raw(f"X{i}USDT") for i in range(MOST_NEW + 7)], ledger)
    pipeline.ingest([_raw("NEXTUSDT")], ledger)

    assert (ledger.events_accepted, ledger.events_rejected_invalid) == (300 + MOST_NEW + 1, 7)


def test_events_that_waited_for_names_forgotten_meanwhile_are_known_again_or_counted() -> None:
    pipeline, ledger = _pipeline(), Ledger()
    pipeline.begin()
    _flood(pipeline, ledger, 2 * MOST_UNLISTED)
    assert ledger.events_pending == 2 * MOST_UNLISTED
    pipeline.finish(_T + 20_000)

    assert ledger.balanced()
    assert (ledger.events_pending, ledger.events_duplicate) == (0, 0)
    assert ledger.events_accepted >= MOST_UNLISTED - MOST_UNLISTED // 8
    assert ledger.events_accepted + ledger.events_rejected_invalid == 2 * MOST_UNLISTED
    assert len(pipeline.engine.instruments()) <= MOST_UNLISTED


def test_a_list_longer_than_its_bound_is_taken_as_far_as_it_has_places() -> None:
    pipeline, ledger = _pipeline(), Ledger()
    contracts = [Contract("binance", f"L{i}USDT", f"L{i}USDT") for i in range(MOST_LISTED + 50)]
    pipeline.listed(VENUES["binance"], contracts, is_whole=True)
    pipeline.ingest([_raw(f"L{MOST_LISTED + 10}USDT")], ledger)

    assert len(pipeline.instruments.listed("binance")) == MOST_LISTED
    assert ledger.events_accepted == 1
    assert pipeline.engine.levels is not None
    assert pipeline.engine.levels.instrument_count <= MOST_LISTED + 1


@pytest.mark.parametrize("symbol", ["牛" * 22, "X" * (LONGEST_SYMBOL + 1), ""])
def test_a_symbol_that_is_too_long_is_counted_as_invalid(symbol: str) -> None:
    pipeline, ledger = _pipeline(), Ledger()
    pipeline.ingest([_raw(symbol)], ledger)

    assert (ledger.events_accepted, ledger.events_rejected_invalid) == (0, 1)
    assert pipeline.engine.instruments() == []


def test_control_characters_are_encoded_before_anything_is_stored_and_repeats_are_known_after_a_restart() -> None:
    pipeline, ledger = _pipeline(), Ledger()
    kept, _ = pipeline.intake.take([_raw("A\nB\x1bUSDT")], ledger, _T)
    event = kept[0]
    assert (event.symbol, event.instrument) == ("A%0AB%1BUSDT", "A%0AB%1BUSDT")
    assert event.id.isprintable()

    again, ledger = _pipeline(), Ledger()
    again.intake.recall(kept, _T - 300_000, _T + 1)
    again.ingest([_raw("A\nB\x1bUSDT")], ledger)
    assert ledger.events_duplicate == 1


def test_what_is_no_control_character_stays_in_a_name() -> None:
    """What turns a line around as well: the name is the venue's, and is made fit for a line where it is shown."""
    pipeline, ledger = _pipeline(), Ledger()
    kept, _ = pipeline.intake.take([_raw("A\u202eB\u2066USDT"), _raw("\u725bA\u200dUSDT")], ledger, _T)

    assert [event.instrument for event in kept] == ["A\u202eB\u2066USDT", "\u725bA\u200dUSDT"]


def test_many_that_waited_for_the_clocks_are_judged_in_parts_the_oldest_first() -> None:
    """10,000 at once, each late by all of the others, kept the loop for seconds."""
    pipeline, ledger = _pipeline(), Ledger()
    pipeline.begin()
    pipeline.ingest([_raw("AUSDT", _T - i) for i in range(8_000)], ledger)
    assert ledger.events_pending == 8_000
    left: list[int] = []
    trades: list[Event] = [PriceTick("binance", "BTCUSDT", 80_000.0, 1.0, _T, _T)] * 6
    for step in range(4):
        pipeline.ingest(trades, Ledger(), _T + step)
        left.append(ledger.events_pending)
        assert pipeline.intake.waiting_since_ms() is not None or step == 3

    assert left == [5_500, 3_000, 500, 0]
    assert ledger.events_accepted == 8_000
    assert pipeline.engine.market(_T).event_count_60s == 8_000
    assert pipeline.engine.late_total == 0


def test_the_rest_of_what_waited_is_taken_in_at_the_end() -> None:
    pipeline, ledger = _pipeline(), Ledger()
    pipeline.begin()
    pipeline.ingest([_raw("AUSDT", _T - i) for i in range(8_000)], ledger)
    pipeline.finish(_T + 1)

    assert (ledger.events_pending, ledger.events_accepted) == (0, 8_000)


def test_counters_neither_go_back_nor_count_twice_when_names_are_forgotten() -> None:
    pipeline, ledger = _pipeline(), Ledger()
    counts, budget = EventCounts(), SeriesBudget(limit=5)
    before: Counter[tuple[str, str]] = Counter()
    for step in range(6):
        _flood(pipeline, ledger, 800, at_ms=_T + step, first=800 * step)
        counts.count(pipeline.engine.ever_added(), step)
        budget.choose(counts, step)
        now = Counter(dict(budget.counters()))
        assert sum(counts.by_venue().values()) == ledger.events_accepted == 800 * (step + 1)
        assert counts.usd["binance", "long"] == 6.0 * ledger.events_accepted
        assert now[OTHER, "long"] >= before[OTHER, "long"]
        assert sum(now.values()) <= ledger.events_accepted
        before = now
    assert len(counts.events) <= MOST_UNLISTED + 1


def test_what_the_page_remembers_of_names_is_bounded() -> None:
    memory = EventMemory(_T)
    for number in range(0, 24_000, 500):
        names = [f"X{i}" for i in range(number, number + 500)]
        memory.add([Liquidation("binance", name, name, "long", 2.0, "fill", 3.0, 6.0, _T) for name in names])

    assert len(memory.instruments()) <= 10_000
    assert memory.knows("X23999")
    assert not memory.knows("X0")
