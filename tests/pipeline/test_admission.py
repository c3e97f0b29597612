import json
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from liqtape.engine import VelocityEngine
from liqtape.events import WINDOWS, Invalid, Liquidation, PriceTick, RawLiquidation
from liqtape.instruments import Contract, Instruments
from liqtape.ledger import Ledger
from liqtape.money import micro_usd
from liqtape.pipeline.admission import HELD_LIMIT, HELD_MS, SIZE_WAIT_MS, Intake
from liqtape.venues import VENUES
from liqtape.venues.session import Session

T = 1_790_000_000_000


def spell(venue: str, symbol: str) -> Contract:
    return VENUES[venue].parse_symbol(symbol)


def intake(target: Iterable[str] = (), **more: Any) -> Intake:
    return Intake(VelocityEngine(), Instruments(spell), tuple(target), **more)


def raw(at_ms: int = T, symbol: str = "BTCUSDT", venue: str = "bybit", **known: Any) -> RawLiquidation:
    values: dict[str, Any] = {"side": "long", "price": 80_000.0, "size": 0.01, "unit": "base", "copy": 1} | known
    return RawLiquidation(
        venue,
        symbol,
        values["side"],
        values["price"],
        "bankruptcy",
        values["size"],
        values["unit"],
        at_ms,
        copy=values["copy"],
    )


def counts(ledger: Ledger) -> dict[str, int]:
    """What is above zero, by its short name."""
    return {name.removeprefix("events_"): count for name, count in ledger.as_dict().items() if count}


def synchronised(intake: Intake, skew_ms: int = 0) -> None:
    """Let the clock know how much later than the venues we are."""
    tick = PriceTick("binance", "BTCUSDT", 80_000.0, 0.1, T)
    for _ in range(8):
        intake.take([tick], Ledger(), T + skew_ms)
    intake.clock.estimate()


def test_accepted_event_is_in_the_engine_and_in_the_ledger() -> None:
    made, ledger = intake(), Ledger()

    accepted = made.take([raw()], ledger, T + 50)[0]

    assert [liquidation.instrument for liquidation in accepted] == ["BTCUSDT"]
    assert counts(ledger) == {"decoded": 1, "accepted": 1}
    metrics = made.engine.metrics("BTCUSDT", T)
    assert metrics is not None
    assert (metrics.event_count_10s, metrics.total_value_usd) == (1, 800.0)


def test_repeat_is_a_duplicate_whatever_connection_brings_it() -> None:
    made, first, second = intake(), Ledger(), Ledger()
    made.take([raw()], first, T)

    assert made.take([raw()], second, T + 900)[0] == []
    assert counts(first) == {"decoded": 1, "accepted": 1}
    assert counts(second) == {"decoded": 1, "duplicate": 1}


def test_same_event_of_two_venues_is_two_events() -> None:
    made, ledger = intake(), Ledger()

    made.take([raw(venue="bybit")], ledger, T)
    made.take([raw(venue="binance")], ledger, T)

    assert counts(ledger) == {"decoded": 2, "accepted": 2}


def test_bad_row_is_rejected_and_the_good_rows_stand() -> None:
    made, ledger = intake(), Ledger()

    accepted = made.take([Invalid("bybit", "price"), raw()], ledger, T)[0]

    assert len(accepted) == 1
    assert counts(ledger) == {"decoded": 2, "accepted": 1, "rejected_invalid": 1}


@pytest.mark.parametrize(
    "known",
    [
        {"price": 1e200, "size": 1e200},
        {"price": 1e-200, "size": 1e200, "unit": "usd"},
        {"price": 1e-200, "size": 1e200, "unit": "contracts", "symbol": "BTCUSD_PERP", "venue": "binance"},
        {"price": 1.0, "size": 1e308, "symbol": "1000000MOGUSDT"},
        {"price": float("nan"), "size": 1.0},
        {"price": 1e300, "size": 1e-300, "unit": "usd"},
    ],
    ids=["USD", "quantity", "of contracts", "of a multiplier", "NaN", "quantity of zero"],
)
def test_event_without_a_finite_size_is_rejected_and_the_next_stands(known: dict[str, Any]) -> None:
    made, ledger = intake(), Ledger()

    accepted = made.take([raw(**known), raw()], ledger, T)[0]

    assert counts(ledger) == {"decoded": 2, "accepted": 1, "rejected_invalid": 1}
    assert [event.notional_usd for event in accepted] == [800.0]
    assert ledger.balanced()


def test_unsized_event_counts_and_adds_no_usd() -> None:
    made, ledger = intake(), Ledger()

    accepted = made.take([raw(symbol="NEWUSD_PERP", venue="binance", unit="contracts", size=3.0)], ledger, T)[0]

    assert accepted[0].notional_usd is None
    assert counts(ledger) == {"decoded": 1, "accepted": 1, "unsized": 1}  # by contract size, not by quote
    metrics = made.engine.metrics("NEWUSD", T)
    assert metrics is not None
    assert (metrics.event_count_10s, metrics.total_value_usd) == (1, 0.0)


@pytest.mark.parametrize("target", ["PEPEUSDT", "1000PEPEUSDT"], ids=["ours", "the venue's"])
def test_symbols_are_filtered_in_either_spelling(target: str) -> None:
    made, ledger = intake([target]), Ledger()

    accepted = made.take([raw(symbol="1000PEPEUSDT"), raw(symbol="BTCUSDT")], ledger, T)[0]

    assert [liquidation.instrument for liquidation in accepted] == ["PEPEUSDT"]
    assert counts(ledger) == {"decoded": 2, "accepted": 1, "rejected_filtered": 1}


def test_filtered_event_leaves_no_identity() -> None:
    made, ledger = intake(["ETHUSDT"]), Ledger()

    for _ in range(2):
        made.take([raw()], ledger, T)

    assert counts(ledger) == {"decoded": 2, "rejected_filtered": 2}


def test_symbols_of_one_venue_replace_those_of_all() -> None:
    made, ledger = intake(["BTCUSDT"], target_of={"bybit": ["ETHUSDT"], "okx": []}), Ledger()

    made.take([raw(symbol=symbol) for symbol in ("BTCUSDT", "ETHUSDT")], ledger, T)
    made.take([raw(symbol=symbol, venue="binance") for symbol in ("BTCUSDT", "ETHUSDT")], ledger, T)

    assert made.engine.window("ETHUSDT", 10, T, "bybit") is not None
    assert made.engine.window("BTCUSDT", 10, T, "binance") is not None
    assert counts(ledger) == {"decoded": 4, "accepted": 2, "rejected_filtered": 2}


def test_event_two_seconds_ahead_is_accepted_and_a_millisecond_more_waits() -> None:
    made, ledger = intake(), Ledger()
    synchronised(made)

    accepted = made.take([raw(T + 2_001), raw(T + 2_000, size=7.0)], ledger, T)[0]

    assert [liquidation.event_ms for liquidation in accepted] == [T + 2_000]
    assert counts(ledger) == {"decoded": 2, "accepted": 1, "pending": 1}
    assert made.future_total == 1


def test_accepted_event_moves_the_evaluation_time_of_its_venue_alone() -> None:
    made = intake()
    synchronised(made)

    made.take([raw(T + 1_500)], Ledger(), T)

    assert made.clock.t_ms(T) == T
    assert made.clock.at(T) == {"bybit": T + 1_500, "binance": T}


def test_held_event_is_accepted_when_time_reaches_it() -> None:
    made, ledger = intake(), Ledger()
    synchronised(made)
    made.take([raw(T + 9_000), raw(T + 5_000)], ledger, T)

    assert made.release(T + 4_999) == []
    assert [liquidation.event_ms for liquidation in made.release(T + 5_000)] == [T + 5_000]
    assert counts(ledger) == {"decoded": 2, "accepted": 1, "pending": 1}
    assert [liquidation.event_ms for liquidation in made.release(T + 20_000)] == [T + 9_000]
    assert counts(ledger) == {"decoded": 2, "accepted": 2}


def test_held_event_is_not_taken_twice() -> None:
    made, ledger = intake(), Ledger()
    synchronised(made)

    made.take([raw(T + 9_000), raw(T + 9_000)], ledger, T)
    made.release(T + 9_000)
    made.take([raw(T + 9_000)], ledger, T + 9_000)

    assert counts(ledger) == {"decoded": 3, "accepted": 1, "duplicate": 2}


def test_held_too_long_is_rejected_as_future() -> None:
    made, ledger = intake(), Ledger()
    synchronised(made)
    made.take([raw(T + 999_000), raw(T + 1_000_000)], ledger, T)

    assert made.release(T + HELD_MS - 1) == []
    assert counts(ledger) == {"decoded": 2, "pending": 2}
    assert made.release(T + HELD_MS) == []
    assert counts(ledger) == {"decoded": 2, "rejected_future": 2}


def test_no_more_than_ten_thousand_are_held() -> None:
    made, ledger = intake(), Ledger()
    synchronised(made)

    made.take([raw(T + 5_000 + number) for number in range(HELD_LIMIT + 500)], ledger, T)
    assert counts(ledger) == {"decoded": 10_500, "pending": 10_000, "rejected_future": 500}

    released = made.release(T + 50_000)
    assert [liquidation.event_ms for liquidation in released] == [T + 5_000 + number for number in range(HELD_LIMIT)]
    assert counts(ledger) == {"decoded": 10_500, "accepted": 10_000, "rejected_future": 500}


@pytest.mark.parametrize("skew_ms", [-10_000, 10_000], ids=["behind", "ahead"])
def test_wrong_clock_of_ours_rejects_nothing(skew_ms: int) -> None:
    made, ledger = intake(max_publish_delay_ms={"bybit": 0, "binance": 0}), Ledger()
    made.begin()

    for number in range(40):
        our_ms = T + 100 * number + skew_ms
        for venue in ("binance", "bybit"):
            made.take([PriceTick(venue, "BTCUSDT", 80_000.0, 0.1, T + 100 * number)], Ledger(), our_ms)
        made.take([raw(T + 100 * number)], ledger, our_ms)
        while made.is_behind:
            made.reassess(our_ms)

    assert counts(ledger) == {"decoded": 40, "accepted": 40}
    our_ms = T + 3_950 + skew_ms
    assert made.clock.t_ms(our_ms) == T + 3_950
    metrics = made.engine.metrics("BTCUSDT", T + 3_950, at=made.clock.at(our_ms))
    assert metrics is not None
    assert metrics.event_count_10s == 40


def test_one_event_every_few_seconds_is_never_held() -> None:
    made, ledger = intake(), Ledger()

    for number in range(4):
        made.take([raw(T + 3_000 * number)], ledger, T + 3_000 * number + 40)

    assert counts(ledger) == {"decoded": 4, "accepted": 4}


def starting() -> Intake:
    made = intake()
    made.is_starting = True
    return made


def unknown(at_ms: int = T, symbol: str = "NEW-USDT-SWAP") -> RawLiquidation:
    return raw(at_ms, symbol, "okx", price=2.0, size=3.0, unit="contracts")


def test_at_a_start_an_event_without_a_size_waits_for_the_list() -> None:
    made, ledger = starting(), Ledger()
    assert made.take([unknown(), raw()], ledger, T)[0] != []
    assert made.take([unknown()], ledger, T + 100)[0] == []  # a repeat of what waits
    assert counts(ledger) == {"decoded": 3, "accepted": 1, "duplicate": 1, "pending": 1}
    assert (made.release_sized(T + 1_000), made.waiting_since_ms()) == (([], []), T)
    assert list(made.waiting_from_ms().values()) == [T]

    made.instruments.load([Contract("okx", "NEW-USDT-SWAP", "NEWUSDT", unit_value="10")])
    news, repeated = made.release_sized(T + 2_000)
    assert [(event.event_ms, event.notional_usd) for event in news] == [(T, 60.0)]
    assert (repeated, made.waiting_since_ms()) == ([], None)
    assert made.waiting_from_ms() == {}
    assert counts(ledger) == {"decoded": 3, "accepted": 2, "duplicate": 1}


def test_it_waits_ten_seconds_from_the_first_of_its_venue_and_no_later_one_waits() -> None:
    made, ledger = starting(), Ledger()
    made.take([unknown()], ledger, T)
    made.take([unknown(T + 9_000)], ledger, T + 9_000)
    assert made.release_sized(T + SIZE_WAIT_MS - 1) == ([], [])
    news, _ = made.release_sized(T + SIZE_WAIT_MS)
    assert [event.notional_usd for event in news] == [None, None]
    assert len(made.take([unknown(T + 11_000)], ledger, T + 11_000)[0]) == 1
    assert counts(ledger) == {"decoded": 3, "accepted": 3, "unsized": 3}


def test_a_price_in_no_dollar_waits_for_nothing_once_the_list_says_so() -> None:
    made, ledger = starting(), Ledger()
    assert (
        made.take([raw(symbol="ETHBTC", venue="binance", price=0.033)], ledger, T)[0] == []
    )  # only its letters say so yet

    made.instruments.load([Contract("binance", "ETHBTC", "ETHBTC", quote="BTC")])
    news, _ = made.release_sized(T + 1_000)
    assert [(event.quantity, event.notional_usd) for event in news] == [(0.01, None)]
    assert len(made.take([raw(T + 1, "ETHBTC", "binance", price=0.033)], ledger, T + 1_000)[0]) == 1
    assert counts(ledger) == {"decoded": 2, "accepted": 2, "unsized": 2, "unsized_quote": 2}
    assert ledger.balanced()


def test_what_was_repeated_at_subscribe_is_no_news_when_its_size_is_known_and_the_end_waits_for_nothing() -> None:
    made, ledger = starting(), Ledger()
    made.take([replace(unknown(), replayed=True), unknown(T + 1)], ledger, T)
    news, repeated = made.release_sized(T + 1, is_last=True)
    assert ([event.event_ms for event in news], [event.event_ms for event in repeated]) == ([T + 1], [T])


def test_no_more_than_ten_thousand_wait_for_a_size() -> None:
    made, ledger = starting(), Ledger()
    accepted = made.take([replace(unknown(T), copy=i + 1) for i in range(HELD_LIMIT + 5)], ledger, T)[0]
    assert (len(accepted), ledger.events_pending, ledger.events_unsized) == (5, HELD_LIMIT, 5)


def test_a_size_that_makes_no_finite_quantity_is_invalid() -> None:
    made, ledger = starting(), Ledger()
    made.take([raw(T, "NEW-USDT-SWAP", "okx", price=1e200, size=1e200, unit="contracts")], ledger, T)
    made.instruments.load([Contract("okx", "NEW-USDT-SWAP", "NEWUSDT", unit_value="10")])
    assert made.release_sized(T + 1) == ([], [])
    assert counts(ledger) == {"decoded": 1, "rejected_invalid": 1}


def test_trades_are_handed_on_and_not_counted_as_events() -> None:
    made, ledger = intake(), Ledger()

    trades = [PriceTick("binance", "BTCUSDT", price, 1.0, T) for price in (1.0, 2.0)]
    accepted, ticks = made.take(trades, ledger, T)

    assert accepted == []
    assert [tick.price for tick in ticks] == [1.0, 2.0]
    assert counts(ledger) == {}


_symbols = st.sampled_from(
    ["BTCUSDT", "1000PEPEUSDT", "SHIB1000USDT", "BTCUSD", "牛来USDT", "BTCUSD_PERP", "NEWUSD_PERP"]
)
_sizes = st.sampled_from(["0.01", "0.003", "12", "7.5", "0", "-1", "nan", "x"])
_offsets = st.one_of(st.integers(-5_000, 3_000), st.integers(-320_000, 90_000))


def _bybit(now_ms: int, rows: list[tuple[int, str, str, str]]) -> bytes:
    data = [{"T": now_ms + at, "s": s, "S": side, "v": v, "p": "80000.5"} for at, s, side, v in rows]
    return json.dumps({"topic": "allLiquidation.BTCUSDT", "type": "snapshot", "ts": now_ms, "data": data}).encode()


def _binance(now_ms: int, rows: list[tuple[int, str, str, str]]) -> bytes:
    at, symbol, side, size = rows[0]
    order = {
        "s": symbol,
        "S": side.upper(),
        "q": size,
        "z": size,
        "p": "81",
        "ap": "80.5",
        "T": now_ms + at,
        "X": "FILLED",
    }
    return json.dumps({"e": "forceOrder", "E": now_ms, "o": order}).encode()


_rows = st.lists(
    st.tuples(_offsets, _symbols, st.sampled_from(["Buy", "Sell", "Both"]), _sizes), min_size=1, max_size=6
)
_steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["bybit", "binance", "twice"]), _rows),
        st.tuples(st.just("garbage"), st.binary(max_size=40)),
        st.tuples(st.just("pass"), st.integers(0, 70_000)),
    ),
    max_size=30,
)


class _Run:
    """Frames through the sessions of two venues into one intake, everything accepted kept in a list."""

    def __init__(self, target: list[str], skew_ms: int) -> None:
        self.intake = intake(target)
        self.skew_ms = skew_ms
        self.now_ms = T
        self.accepted: list[Liquidation] = []
        self.sessions = {
            n: Session(VENUES[n], VENUES[n].endpoints(["BTCUSDT"])[0], Ledger()) for n in ("bybit", "binance")
        }

    @property
    def wall_ms(self) -> int:
        return self.now_ms + self.skew_ms

    def frame(self, venue: str, payload: bytes) -> None:
        session = self.sessions[venue]
        events = session.received(payload, self.wall_ms, 0.0)
        self.accepted += self.intake.take(events, session.ledger, self.wall_ms)[0]

    def passes(self, ms: int) -> None:
        self.now_ms += ms
        self.intake.clock.estimate()
        self.accepted += self.intake.release(self.wall_ms)

    def check(self) -> None:
        ledgers = [session.ledger for session in self.sessions.values()]
        total = sum(ledgers, Ledger())
        assert total.balanced()
        assert all(ledger.balanced() for ledger in ledgers)
        assert total.events_accepted == len(self.accepted) == len({(e.venue, e.id) for e in self.accepted})
        assert total.events_unsized == sum(event.notional_usd is None for event in self.accepted)
        assert total.events_pending == self.intake._held_total


def _count(events: Iterable[Liquidation], instrument: str, at: Mapping[str, int], seconds: int) -> tuple[int, int, int]:
    of_it = [e for e in events if e.instrument == instrument]
    inside = [e for e in of_it if at[e.venue] - 1000 * seconds < e.event_ms <= at[e.venue]]
    usd = sum(0 if e.notional_usd is None else micro_usd(e.notional_usd) for e in inside)
    return len(inside), sum(e.side == "long" for e in inside), usd


@settings(max_examples=120)
@given(
    _steps,
    st.sampled_from([[], ["PEPEUSDT", "BTCUSDT"], ["1000PEPEUSDT", "BTCUSD_PERP"]]),
    st.sampled_from([0, -9_000, 9_000]),
)
def test_ledger_balances_and_windows_are_a_recount_after_any_sequence(
    steps: list[tuple[str, Any]], target: list[str], skew_ms: int
) -> None:
    run = _Run(target, skew_ms)
    for what, value in steps:
        if what == "pass":
            run.passes(value)
        elif what == "garbage":
            run.frame("bybit", value)
            run.frame("binance", value)
        else:
            venue = "binance" if what == "binance" else "bybit"
            payload = (_binance if venue == "binance" else _bybit)(run.now_ms, value)
            for _ in range(2 if what == "twice" else 1):
                run.frame(venue, payload)
        run.check()
    now, at = run.intake.clock.t_ms(run.wall_ms), run.intake.clock.at(run.wall_ms)
    for instrument in {event.instrument for event in run.accepted}:
        metrics = run.intake.engine.metrics(instrument, now, at=at)
        if metrics is None:
            assert all(
                e.event_ms <= run.intake.engine.newest_ms - 302_000 for e in run.accepted if e.instrument == instrument
            )
            continue
        for seconds in WINDOWS:
            count, longs, usd = _count(run.accepted, instrument, at, seconds)
            assert getattr(metrics, f"event_count_{seconds}s") == count
            assert getattr(metrics, f"long_count_{seconds}s") == longs
            assert getattr(metrics, f"usd_velocity_{seconds}s") == float(Fraction(usd, 1_000_000 * seconds))


@pytest.mark.parametrize("name", ["bybit/all_liquidation.jsonl", "binance-usdm/force_order.jsonl"])
def test_real_frames_twice_and_cut_are_all_in_the_ledger(name: str, wire_file: Callable[[str], Path]) -> None:
    venue = name.partition("/")[0].removesuffix("-usdm")
    frames = wire_file(name).read_bytes().splitlines()[:400]
    run = _Run([], 0)
    for frame in frames:
        for payload in (frame, frame, frame[: len(frame) // 2]):
            run.frame(venue, payload)
            run.check()

    ledger = run.sessions[venue].ledger
    assert ledger.frames_received == 3 * len(frames)
    assert ledger.frames_undecodable >= len(frames)
    assert ledger.events_accepted > 0
    assert ledger.events_decoded == 2 * (ledger.events_decoded // 2)
    assert ledger.events_duplicate >= ledger.events_accepted


def trades(made: Intake, at_ms: int, **ahead_ms: int) -> list[Liquidation]:
    """Eight trades of each venue, whose clocks go before ours by so much; what an earlier run saw that they place."""
    placed: list[Liquidation] = []
    for our_ms in range(at_ms, at_ms + 2_000, 250):
        for venue, by_ms in ahead_ms.items():
            made.take([PriceTick(venue, "BTCUSDT", 80_000.0, 0.1, our_ms + by_ms, our_ms)], Ledger(), our_ms)
            while made.is_behind:
                placed += made.reassess(our_ms).recalled
    return placed


def earlier(venue: str, at_ms: int, ahead_ms: int) -> Liquidation:
    """An event that the last run received at `at_ms`."""
    known = {"event_ms": at_ms + ahead_ms, "receive_ms": at_ms, "id": str(at_ms + ahead_ms)}
    return replace(Liquidation(venue, "BTCUSDT", "BTCUSDT", "long", 80_000.0, "fill", 0.01, 800.0, at_ms), **known)


def restarted(*events: Liquidation) -> Intake:
    """A run that takes back what the last one saw, and then hears trades of two venues whose clocks are right."""
    made = intake(max_publish_delay_ms={"okx": 1_100, "bybit": 500, "binance": 1_100})
    made.begin()
    made.recall(events, T - 302_000, T)
    trades(made, T, bybit=0, binance=0)
    assert made.clock.is_started
    return made


@pytest.mark.parametrize("ahead_ms", [3_600_000, 10_000, -10_000, -3_600_000])
def test_what_a_run_before_saw_of_a_venue_whose_clock_is_known_later_than_the_others_comes_back(ahead_ms: int) -> None:
    """Seen in chaos: okx was an hour ahead, and known a second after two others; its events were gone for good."""
    events = [earlier("okx", T - 20_000, ahead_ms), earlier("okx", T - 10_000, ahead_ms)]
    made = restarted(*events)

    assert trades(made, T + 2_000, okx=ahead_ms, bybit=0, binance=0)[-2:] == events
    assert made.engine.counts(T - 20_600, T - 19_400) == {"BTCUSDT": {"okx": 1}}
    assert made.engine.counts(T - 302_000, T + 2_000) == {"BTCUSDT": {"okx": 2}}


@pytest.mark.parametrize("ahead_ms", [2_000, -2_000, -3_000])
def test_what_a_run_before_saw_of_a_venue_that_is_off_by_little_stands_less_that(ahead_ms: int) -> None:
    """Seen in chaos: hyperliquid 2 s behind. At once what it had sent stood at its stamps, and there it remained."""
    made = restarted(earlier("okx", T - 10_000, ahead_ms))
    assert made.engine.counts(T - 14_000, T - 6_000) == {"BTCUSDT": {"okx": 1}}

    trades(made, T + 2_000, okx=ahead_ms, bybit=0, binance=0)
    assert made.engine.counts(T - 10_400, T - 9_600) == {"BTCUSDT": {"okx": 1}}
    assert made.engine.counts(T - 302_000, T + 2_000) == {"BTCUSDT": {"okx": 1}}


def test_what_a_run_before_saw_comes_back_where_our_own_clock_is_an_hour_ahead_at_first() -> None:
    """Seen in virtual time: the wall clock was set while we were down. Windows claimed to be whole, and were empty."""
    made = intake(max_publish_delay_ms={"okx": 1_100, "bybit": 500, "binance": 1_100})
    made.begin()
    ours = T + 3_600_000
    made.recall([earlier("okx", T - 10_000, 0)], ours - 302_000, ours)
    assert made.engine.counts(T - 302_000, ours) == {}
    placed = trades(made, ours, okx=-3_600_000, bybit=-3_600_000, binance=-3_600_000)

    assert [event.event_ms for event in placed] == [T - 10_000]
    assert made.engine.counts(T - 10_001, T - 9_999) == {"BTCUSDT": {"okx": 1}}


@pytest.mark.parametrize("ahead_ms", [3_600_000, -3_600_000])
@pytest.mark.parametrize("set_ms", [3_600_000, -3_600_000, 0])
def test_what_a_run_before_received_by_another_wall_clock_comes_back(ahead_ms: int, set_ms: int) -> None:
    """Seen in virtual time: okx an hour ahead, and the wall clock set back an hour before the restart."""
    made = intake(max_publish_delay_ms={"okx": 1_100, "bybit": 500, "binance": 1_100})
    made.begin()
    ours = T + set_ms
    known = [("okx", ahead_ms), ("bybit", 0), ("binance", 0)]
    made.recall([earlier(name, T - 20_000, by_ms) for name, by_ms in known], ours - 302_000, ours)
    trades(made, ours, **{name: by_ms - set_ms for name, by_ms in known})

    found = made.engine.counts(T - 20_600, T - 19_400)
    assert found == {"BTCUSDT": {"okx": 1, "bybit": 1, "binance": 1}}
    assert made.engine.counts(T - 302_000, T + 2_000) == found


def test_what_a_run_before_saw_comes_back_where_our_clock_is_hours_behind_and_one_venue_says_so() -> None:
    """Seen in virtual time: the wall clock was set back two hours, okx an hour behind. Two hours on, the time would
    have followed that venue by seven seconds; receipts were off by as much, and nothing came back.
    """
    made = intake(max_publish_delay_ms={"okx": 1_100, "bybit": 500, "binance": 1_100})
    made.begin()
    off_ms = 7_200_000
    ours = T - off_ms
    events = [earlier("okx", T - 20_000, -3_600_000), earlier("binance", T - 20_000, 0)]
    made.recall(events, ours - 302_000, ours)
    made.clock.begin(ours)
    made.reassess(ours + 5_000)
    trades(made, ours + 5_000, binance=off_ms)
    trades(made, ours + 7_000, binance=off_ms, okx=off_ms - 3_600_000)
    trades(made, ours + 9_000, binance=off_ms, bybit=off_ms, okx=off_ms - 3_600_000)

    assert made.clock.shifts == {"okx": -3_600_000}
    assert made.engine.counts(T - 20_600, T - 19_400) == {"BTCUSDT": {"okx": 1, "binance": 1}}


def test_what_a_run_before_was_told_late_by_a_wrong_clock_stands_where_it_happened() -> None:
    """Seen in virtual time: the archive of a venue a minute ahead, asked after a restart, and another restart."""
    told = replace(earlier("okx", T - 100_000, 60_000), receive_ms=T - 5_000)
    made = restarted(told, earlier("okx", T - 20_000, 60_000))
    trades(made, T + 2_000, okx=60_000, bybit=0, binance=0)

    assert made.engine.counts(T - 100_600, T - 99_400) == {"BTCUSDT": {"okx": 1}}
    assert made.engine.counts(T - 302_000, T + 2_000) == {"BTCUSDT": {"okx": 2}}


def test_what_a_run_before_saw_comes_back_where_the_common_time_begins_by_a_wrong_clock() -> None:
    """Seen in virtual time: ours two hours behind, one of the first two venues a minute, and that was believed."""
    made = intake(max_publish_delay_ms={"okx": 1_100, "bybit": 500, "binance": 1_100})
    made.begin()
    ours = T - 7_200_000
    made.recall([earlier("okx", T - 10_000, 0)], ours - 302_000, ours)
    trades(made, ours, okx=7_200_000, bybit=7_140_000)
    assert abs(made.clock.now_ms - T + 60_000) < 5_000
    trades(made, ours + 2_000, okx=7_200_000, bybit=7_140_000, binance=7_200_000)

    assert made.engine.counts(T - 10_001, T - 9_999) == {"BTCUSDT": {"okx": 1}}


@pytest.mark.parametrize("receipts_ms", [0, 3_600_000])
def test_what_runs_before_told_late_follows_a_time_that_began_by_a_wrong_clock(receipts_ms: int) -> None:
    """Seen in virtual time: okx was asked for its past, restart, and the time began by a venue 10 s behind.

    Of what was told late, or received by another wall clock, no receipt says by which clock it was stamped.
    """
    made = intake(max_publish_delay_ms={"okx": 1_100, "bybit": 500, "binance": 1_100})
    made.begin()
    events = [earlier("okx", T - 150_000, 0), earlier("okx", T - 20_000, 0)]
    events = [replace(event, receive_ms=T - 9_000 + receipts_ms) for event in events]
    made.recall(events, T - 302_000, T)
    trades(made, T, bybit=-10_000)
    trades(made, T + 2_000, bybit=-10_000)
    made.clock.start()
    trades(made, T + 4_000, bybit=-10_000, okx=0)
    assert made.clock.shifts == pytest.approx({"okx": 10_000}, abs=50)
    trades(made, T + 6_000, bybit=-10_000, okx=0, binance=0)
    assert made.clock.shifts == pytest.approx({"bybit": -10_000}, abs=50)

    for at_ms in (T - 150_000, T - 20_000):
        assert made.engine.counts(at_ms - 100, at_ms + 100) == {"BTCUSDT": {"okx": 1}}
    assert made.engine.counts(T - 302_000, T + 10_000) == {"BTCUSDT": {"okx": 2}}


@pytest.mark.parametrize("set_ms", [-60_000, 60_000])
def test_what_the_last_run_received_stands_where_it_happened_though_the_wall_clock_was_set_before_that(
    set_ms: int,
) -> None:
    """Seen in virtual time: okx 10 s behind, and two runs before this one, the first of them by another wall clock."""
    made = intake(max_publish_delay_ms={"okx": 1_100, "bybit": 500, "binance": 1_100})
    made.begin()
    offs = {"okx": -10_000, "bybit": 0}
    first = [earlier(venue, T - 200_000 - i, by_ms) for venue, by_ms in offs.items() for i in range(5)]
    first = [replace(event, receive_ms=T - 200_000 - set_ms) for event in first]
    last = [earlier(venue, T - 20_000, by_ms) for venue, by_ms in offs.items()]
    made.recall([*first, *last], T - 302_000, T)
    trades(made, T, **offs)

    assert made.engine.counts(T - 200_600, T - 199_400) == {"BTCUSDT": {"okx": 5, "bybit": 5}}
    assert made.engine.counts(T - 20_600, T - 19_400) == {"BTCUSDT": {"okx": 1, "bybit": 1}}


def test_what_a_run_before_was_told_late_does_not_hide_that_the_wall_clock_was_set() -> None:
    made = intake(max_publish_delay_ms={"okx": 1_100, "bybit": 500, "binance": 1_100})
    made.begin()
    ours = T - 3_600_000
    late = [replace(earlier("okx", T - 100_000 - i, 60_000), receive_ms=T - 50_000) for i in range(5)]
    seen = [earlier("okx", T - 20_000 - i, 60_000) for i in range(4)]
    made.recall([*late, *seen, earlier("bybit", T - 20_000, 0)], ours - 302_000, ours)
    trades(made, ours, okx=3_660_000, bybit=3_600_000, binance=3_600_000)
    assert made.engine.counts(T - 101_000, T - 99_000) == {"BTCUSDT": {"okx": 5}}
    assert made.engine.counts(T - 21_000, T - 19_000) == {"BTCUSDT": {"okx": 4, "bybit": 1}}


def test_what_a_run_before_saw_before_a_clock_stepped_stands_at_its_stamp() -> None:
    made = restarted(earlier("okx", T - 20_000, 0), earlier("okx", T - 10_000, -2_000))

    trades(made, T + 2_000, okx=-2_000, bybit=0, binance=0)
    assert made.engine.counts(T - 20_001, T - 19_999) == {"BTCUSDT": {"okx": 1}}
    assert made.engine.counts(T - 10_400, T - 9_600) == {"BTCUSDT": {"okx": 1}}


def test_what_a_run_before_saw_is_no_crowd_before_the_clocks_are_known() -> None:
    made = intake(max_publish_delay_ms={"okx": 1_100, "bybit": 500, "binance": 1_100})
    made.begin()
    made.recall([earlier("okx", T - 10_000 + i % 7, -60_000) for i in range(HELD_LIMIT + 10)], T - 302_000, T)
    made.take([raw(T)], Ledger(), T)
    assert not made.clock.is_started


def test_what_a_run_before_saw_late_is_not_left_where_a_shift_that_passes_put_it() -> None:
    """Seen in chaos: after a restart the first trades came 3 s late, as some events of the run before had."""
    made = restarted(earlier("okx", T - 10_000, -3_000))
    trades(made, T + 2_000, okx=-3_000, bybit=0, binance=0)
    assert made.engine.counts(T - 10_400, T - 9_600) == {"BTCUSDT": {"okx": 1}}

    trades(made, T + 4_000, okx=0, bybit=0, binance=0)
    trades(made, T + 6_000, okx=0, bybit=0, binance=0)
    assert made.clock.shifts == {}
    assert made.engine.counts(T - 13_001, T - 12_999) == {"BTCUSDT": {"okx": 1}}


def test_a_past_that_was_told_before_a_clock_was_set_back_is_not_moved_ahead_of_its_receipt() -> None:
    """Seen in chaos: hyperliquid told at its subscription of fills of 40 minutes before, then its clock went back by an
    hour. Less that shift they stood 20 minutes ahead, and every liquidation of every venue was too old for any window.
    """
    made = intake(max_publish_delay_ms={"okx": 1_100, "bybit": 500, "binance": 1_100})
    made.begin()
    trades(made, T, okx=0, bybit=0, binance=0)
    made.take([raw(T - 2_400_000, venue="okx")], Ledger(), T + 2_000)

    for second in range(2, 14, 2):
        trades(made, T + 1_000 * second, okx=-3_600_000, bybit=0, binance=0)
    assert made.clock.shifts == pytest.approx({"okx": -3_600_000}, abs=50)
    made.take([raw(T + 14_000, venue="bybit"), raw(T + 14_000 - 3_600_000, venue="okx")], Ledger(), T + 14_000)

    assert made.engine.newest_ms <= T + 14_100
    assert made.engine.counts(T + 13_900, T + 14_100) == {"BTCUSDT": {"bybit": 1, "okx": 1}}


def test_instruments_whose_events_are_moved_are_told() -> None:
    """Seen in chaos: what stood an hour too early came into a window, and no row of it was written."""
    made = intake(max_publish_delay_ms={"okx": 1_100, "bybit": 500, "binance": 1_100})
    made.begin()
    trades(made, T, okx=0, bybit=0, binance=0)
    made.take([raw(T + 2_000 - 3_600_000, venue="okx")], Ledger(), T + 2_000)

    moved: set[str] = set()
    for our_ms in range(T + 2_000, T + 14_000, 250):
        for venue, by_ms in {"okx": -3_600_000, "bybit": 0, "binance": 0}.items():
            made.take([PriceTick(venue, "BTCUSDT", 80_000.0, 0.1, our_ms + by_ms, our_ms)], Ledger(), our_ms)
            while made.is_behind:
                moved |= made.reassess(our_ms).moved

    assert moved == {"BTCUSDT"}
    assert made.engine.counts(T + 1_900, T + 2_100) == {"BTCUSDT": {"okx": 1}}
