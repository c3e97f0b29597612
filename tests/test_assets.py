"""Which asset a contract is on and in: names by the venues' lists, the guard of prices, USD of dollars alone."""

import json
import math
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape.assets import ASSETS, COIN, DOLLARS, QUOTES, UNKNOWN, Pair, currency_of, is_coin, marked, split_quote
from liqtape.eventfiles.eventtable import EventRow, EventTable
from liqtape.eventfiles.normalize import Normalizer
from liqtape.eventfiles.readers import load
from liqtape.events import RawLiquidation
from liqtape.instruments import Contract, Instruments, Separation, linear
from liqtape.venues import VENUES

_FIXTURES = Path(__file__).parent / "fixtures"
_ASSETS = _FIXTURES / "assets"
_T = 1_791_391_082_119


def _spell(venue: str, symbol: str) -> Contract:
    return VENUES[venue].parse_symbol(symbol)


def _lists(venue: str) -> list[Path]:
    return [*sorted((_FIXTURES / venue).glob("*.json")), *sorted(_ASSETS.glob(f"{venue}_*.json"))]


def _listed(venue: str, *names: str) -> list[Contract]:
    return [c for name in names for c in VENUES[venue].decode_instruments((_ASSETS / name).read_bytes()).contracts]


def _raw(venue: str, symbol: str, price: float, at_ms: int = _T, size: float = 3.0) -> RawLiquidation:
    return RawLiquidation(venue, symbol, "long", price, "fill", size, "base", at_ms)


def _normalized(name: str) -> list[dict[str, object]]:
    taken = Normalizer(VENUES["binance"], _listed("binance", f"{name}.json"))
    lines = taken.lines((_ASSETS / "frames" / f"{name}.jsonl").read_bytes().splitlines())
    return [json.loads(line) for line in lines]


def test_a_contract_in_bitcoin_has_a_quantity_and_no_usd() -> None:
    taken = Normalizer(VENUES["binance"], _listed("binance", "binance_ethbtc.json"))
    (event,) = [
        json.loads(line)
        for line in taken.lines((_ASSETS / "frames" / "binance_ethbtc.jsonl").read_bytes().splitlines())
    ]

    assert (event["instrument"], event["price"], event["quantity"], event["notional_usd"]) == (
        "ETHBTC",
        0.033,
        12.5,
        None,
    )
    assert (taken.ledger.events_accepted, taken.ledger.events_unsized, taken.ledger.events_unsized_quote) == (1, 1, 1)
    assert taken.summary()["unsized_by_reason"] == {"contract size": 0, "quote": 1}


def test_a_stock_and_a_coin_of_one_spelling_are_two_instruments() -> None:
    coin, stock = _normalized("binance_cat")

    assert (coin["instrument"], coin["quantity"], coin["notional_usd"]) == ("1000CATUSDT", 200_000.0, 1_240.0)
    assert (stock["instrument"], stock["quantity"], stock["notional_usd"]) == ("CATUSDT-EQUITY", 3.5, 2_139.9)


def test_a_stock_of_one_venue_and_a_coin_of_another_are_two_instruments() -> None:
    table = Instruments(_spell)
    table.load([*_listed("binance", "binance_assets.json"), *_listed("bybit", "bybit_assets.json")])

    assert table.contract("binance", "WENUSDT").instrument == "WENUSDT-EQUITY"
    assert table.contract("bybit", "10000WENUSDT").instrument == "WENUSDT"


_NAMES = {
    "binance": {
        "BTCUSDT": "BTCUSDT",
        "BTCUSDT_261225": "BTCUSDT_261225",
        "BTCUSDC": "BTCUSDC",
        "BTCFDUSD": "BTCFDUSD",
        "1000PEPEUSDT": "PEPEUSDT",
        "1000PEPEUSDC": "PEPEUSDC",
        "1000SHIBUSD1": "SHIBUSD1",
        "1INCHUSDT": "1INCHUSDT",
        "BOBUSDT": "BOBUSDT",
        "1000000BOBUSDT": "1000000BOBUSDT",
        "1000CHEEMSUSDT": "CHEEMSUSDT",
        "1000000CHEEMSUSDT": "1000000CHEEMSUSDT",
        "CATUSDT": "CATUSDT-EQUITY",
        "1000CATUSDT": "1000CATUSDT",
        "WENUSDT": "WENUSDT-EQUITY",
        "SKHYNIXUSDT": "SKHYNIXUSDT-EQUITY",
        "TENCENTUSDT": "TENCENTUSDT-EQUITY",
        "CXMTUSDT": "CXMTUSDT-EQUITY",
        "XAUUSDT": "XAUUSDT-COMMODITY",
        "PAXGUSDT": "PAXGUSDT",
        "EURUSDT": "EURUSDT-FX",
        "OPENAIUSDT": "OPENAIUSDT-OTHER",
        "NEWUSDT": "NEWUSDT",
        "ODDUSDT": "ODDUSDT-OTHER",
        "BTCDOMUSDT": "BTCDOMUSDT-INDEX",
        "ETHBTC": "ETHBTC",
        "BTCEUR": "BTCEUR",
        "SOLTRY": "SOLTRY",
        "ADAUSDT": "ADAUSDT",
        "牛来USDT": "牛来USDT",
    },
    "bybit": {
        "BTCUSDT": "BTCUSDT",
        "BTCPERP": "BTCUSDC",
        "BTC-26DEC25": "BTCUSDC_251226",
        "10000WENUSDT": "WENUSDT",
        "1000CATUSDT": "CATUSDT",
        "SHIB1000USDT": "SHIBUSDT",
        "10000SATSUSDT": "SATSUSDT",
        "TSLAUSDT": "TSLAUSDT-EQUITY",
        "XAUUSDT": "XAUUSDT-COMMODITY",
        "EURUSDT": "EURUSDT-FX",
        "SPYUSDT": "SPYUSDT-EQUITY",
        "BTCUSD1": "BTCUSD1",
        "ETHBTC": "ETHBTC",
    },
    "okx": {
        "BTC-USDT-SWAP": "BTCUSDT",
        "BTC-USD-SWAP": "BTCUSD",
        "SATS-USDT-SWAP": "SATSUSDT",
        "MUU-USDT-SWAP": "MUUUSDT-EQUITY",
        "XAU-USDT-SWAP": "XAUUSDT-COMMODITY",
        "EUR-USDT-SWAP": "EURUSDT-FX",
        "TBILL-USDT-SWAP": "TBILLUSDT-OTHER",
        "PRE-USDT-SWAP": "PREUSDT",
        "SHARE-USDT-SWAP": "SHAREUSDT-OTHER",
        "ETH-BTC-SWAP": "ETHBTC",
        "SUI-USD_UM_XPERP-310404": "SUIUSD_UM_XPERP_310404",
        "ABC-USD-SWAP": "ABCUSDC",
    },
    "hyperliquid": {
        "BTC": "BTCUSDC",
        "kPEPE": "PEPEUSDC",
        "kBONK": "kBONKUSDC",
        "BONK": "BONKUSDC",
        "xyz:SILVER": "xyz:SILVERUSDC",
        "xyz:CAT": "xyz:CATUSDC",
    },
}
_IN_NO_DOLLAR = {
    "binance": {"ETHBTC", "BTCEUR", "SOLTRY", "ADAUSDT"},
    "bybit": {"ETHBTC"},
    "okx": {"ETH-BTC-SWAP"},
    "hyperliquid": set[str](),
}


@pytest.mark.parametrize("venue", _NAMES)
def test_names_and_dollars_by_the_venues_list(venue: str) -> None:
    table = Instruments(_spell)
    table.load(_listed(venue, f"{venue}_assets.json"))

    assert {s: table.contract(venue, s).instrument for s in table.listed(venue)} == _NAMES[venue]
    for symbol in _NAMES[venue]:
        sized = table.sized(_raw(venue, symbol, 2.0), "x")
        assert (sized.notional_usd is None) == (symbol in _IN_NO_DOLLAR[venue]), symbol
        assert sized.quantity is not None


@pytest.mark.parametrize("venue", VENUES)
def test_no_two_symbols_of_a_venue_with_different_assets_share_an_instrument(venue: str) -> None:
    table = Instruments(_spell)
    for path in _lists(venue):
        table.load(VENUES[venue].decode_instruments(path.read_bytes()).contracts)
    contracts = [table.contract(venue, symbol) for symbol in table.listed(venue)]
    assert contracts

    for one, other in combinations(contracts, 2):
        if one.instrument == other.instrument:
            assert (one.asset, one.coin, one.factor, one.inverse) == (
                other.asset,
                other.coin,
                other.factor,
                other.inverse,
            )


def test_the_list_decides_before_the_table_of_ours() -> None:
    row = {"symbol": "CATUSDT", "baseAsset": "CAT", "quoteAsset": "USDT", "marginAsset": "USDT"}
    silent = json.dumps({"symbols": [row]}).encode()
    said = json.dumps({"symbols": [row | {"contractType": "PERPETUAL", "underlyingType": "COIN"}]}).encode()

    assert _spell("binance", "CATUSDT").instrument == "CATUSDT-EQUITY"
    assert [VENUES["binance"].decode_instruments(text).contracts[0].instrument for text in (silent, said)] == [
        "CATUSDT-EQUITY",
        "CATUSDT",
    ]


@pytest.mark.parametrize("quote", sorted(DOLLARS))
def test_each_dollar_is_taken_one_to_one(quote: str) -> None:
    contract = linear("binance", f"ABC{quote}", Pair("ABC", quote), settle=quote)

    assert Instruments(lambda *_: contract).sized(_raw("binance", contract.symbol, 2.5), "").notional_usd == 7.5
    assert split_quote(f"ABC{quote}") == Pair("ABC", quote)


_CODES = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=8)
_OTHERS = st.sampled_from(["BTC", "ETH", "EUR", "TRY", "BNB", "XYZ", ""])


@given(_CODES, st.sampled_from(sorted(DOLLARS)) | _OTHERS, st.sampled_from(["", *sorted(DOLLARS)]) | _OTHERS)
def test_usd_is_there_when_quote_and_settlement_are_dollars_and_only_then(base: str, quote: str, settle: str) -> None:
    contract = linear("v", "S", Pair(base, quote), settle=settle)

    sized = Instruments(lambda *_: contract).sized(_raw("v", "S", 2.0), "")

    assert sized.quantity is not None
    assert (sized.notional_usd is not None) == (quote in DOLLARS and (not settle or settle in DOLLARS))
    assert (currency_of(quote, settle) in DOLLARS) == (sized.notional_usd is not None)


@given(_CODES, _CODES, st.sampled_from(QUOTES), st.sampled_from(ASSETS), st.sampled_from([UNKNOWN, COIN]))
def test_what_is_no_coin_never_bears_a_coins_name(one: str, other: str, quote: str, asset: str, coin: str) -> None:
    name = marked(f"{one}{quote}", asset)

    if not is_coin(asset) and asset != "builder":
        assert name != linear("v", "S", Pair(other, quote), asset=coin).instrument
        assert name != linear("v", "S", Pair(one, quote), asset=coin).instrument
    assert not set(name) & set(' /\\*?"<>|\n')  # a file's name, and an option, as it is


# A venue's list: coins bare, with factors, or as stocks. The truth of what is what is the base itself: two bases are
# two assets at one venue.
_ROWS = st.lists(
    st.tuples(
        st.sampled_from(["CAT", "WEN", "SATS", "1000CAT", "10000WEN", "1000SATS", "10000SATS", "1000PEPE", "PEPE"]),
        st.sampled_from(["USDT", "USDC"]),
    ),
    unique=True,
    max_size=12,
)


def _rows(rows: Sequence[tuple[str, str]], stocks: frozenset[str]) -> list[Contract]:
    return [
        linear("v", f"{base}{quote}", Pair(base, quote), asset="equity" if base in stocks else COIN)
        for base, quote in rows
    ]


@given(_ROWS, st.frozensets(st.sampled_from(["CAT", "WEN", "PEPE"])), st.data())
def test_two_bases_of_a_venue_never_share_a_name_and_order_does_not_matter(
    rows: list[tuple[str, str]], stocks: frozenset[str], data: st.DataObject
) -> None:
    contracts = _rows(rows, stocks)
    spelled = {c.symbol: linear("v", c.symbol, Pair(*row)) for c, row in zip(contracts, rows, strict=True)}
    shuffled = data.draw(st.permutations(contracts))
    cut = data.draw(st.integers(0, len(contracts)))
    seen = data.draw(st.lists(st.sampled_from(sorted(spelled)), max_size=6)) if spelled else []

    whole, parts = Instruments(lambda _, s: spelled[s]), Instruments(lambda _, s: spelled[s])
    whole.load(contracts)
    for symbol in seen:
        parts.contract("v", symbol)
    parts.load(shuffled[:cut])
    parts.load(shuffled[cut:])
    parts.load(shuffled)

    names = {c.symbol: whole.contract("v", c.symbol).instrument for c in contracts}
    assert names == {c.symbol: parts.contract("v", c.symbol).instrument for c in contracts}
    for (one, base), (other, other_base) in combinations(
        [(c.symbol, row[0]) for c, row in zip(contracts, rows, strict=True)], 2
    ):
        if base != other_base:
            assert names[one] != names[other]


def _guarded() -> tuple[Instruments, list[Separation]]:
    told: list[Separation] = []
    table = Instruments(_spell, told.append)
    return table, told


_BARE, _LOTS = ("okx", "PEPE-USDT-SWAP"), ("binance", "1000PEPEUSDT")


def _size(table: Instruments, symbol: tuple[str, str], per_coin: float, at_ms: int = _T) -> str:
    price = per_coin * 1_000 if symbol == _LOTS else per_coin
    return table.sized(_raw(*symbol, price, at_ms), "x").instrument


@pytest.mark.parametrize("first", [_BARE, _LOTS], ids=["bare name first", "factor first"])
def test_a_price_twice_as_far_sends_the_factor_back_whichever_came_first(first: tuple[str, str]) -> None:
    table, told = _guarded()
    second = _LOTS if first == _BARE else _BARE
    prices = {_BARE: 0.02, _LOTS: 0.00001}

    assert _size(table, first, prices[first]) == "PEPEUSDT"
    _size(table, second, prices[second])

    assert (_size(table, _BARE, 0.02), _size(table, _LOTS, 0.00001)) == ("PEPEUSDT", "1000PEPEUSDT")
    assert _size(table, _LOTS, 0.02) == "1000PEPEUSDT"  # kept, though they agree now
    table.load([_spell(*_LOTS), _spell(*_BARE)])
    assert table.contract(*_LOTS).instrument == "1000PEPEUSDT"
    ((separation),) = told
    assert (separation.venue, separation.symbol, separation.name, separation.raw) == (
        "binance",
        "1000PEPEUSDT",
        "PEPEUSDT",
        "1000PEPEUSDT",
    )
    assert "1000PEPEUSDT is another asset than okx PEPE-USDT-SWAP" in str(separation)


def test_the_event_that_shows_it_bears_the_raw_name_and_the_venues_price() -> None:
    table, _ = _guarded()
    _size(table, _BARE, 0.02)

    shown = table.sized(_raw(*_LOTS, 0.01, size=500.0), "x")

    assert (shown.instrument, shown.price, shown.quantity, shown.notional_usd) == ("1000PEPEUSDT", 0.01, 500.0, 5.0)


def test_prices_more_than_an_hour_apart_are_not_compared() -> None:
    table, told = _guarded()
    _size(table, _BARE, 0.02)

    assert _size(table, _LOTS, 0.00001, _T + 3_600_001) == "PEPEUSDT"
    assert told == []
    _size(table, _BARE, 0.02, _T + 3_600_001)
    assert _size(table, _LOTS, 0.00001, _T + 3_600_002) == "1000PEPEUSDT"


@given(
    st.lists(st.tuples(st.sampled_from([_BARE, _LOTS]), st.sampled_from([1.0, 1.9, 2.0, 2.1, 0.49, 9.0])), max_size=20)
)
def test_the_guard_does_what_a_plain_recount_does(events: list[tuple[tuple[str, str], float]]) -> None:
    table, told = _guarded()
    last: dict[tuple[str, str], float] = {}
    is_apart = False
    for symbol, price in events:
        last[symbol] = price
        if len(last) == 2 and max(last.values()) > 2 * min(last.values()):
            is_apart = True
        expected = "1000PEPEUSDT" if symbol == _LOTS and is_apart else "PEPEUSDT"
        sized = table.sized(_raw(*symbol, price * 1_000 if symbol == _LOTS else price), "x")
        assert sized.instrument == expected
        assert sized.notional_usd == pytest.approx(price * 3 * (1_000 if symbol == _LOTS else 1))
    assert len(told) == is_apart


def test_of_two_factors_the_larger_goes_and_of_two_equal_ones_neither() -> None:
    table, told = _guarded()
    for symbol, price in ("1000SATSUSDT", 1.0), ("10000SATSUSDT", 100.0):
        table.sized(_raw("bybit" if symbol.startswith("10000") else "binance", symbol, price), "x")
    assert [(one.venue, one.symbol) for one in told] == [("bybit", "10000SATSUSDT")]

    table, told = _guarded()
    table.sized(_raw("binance", "1000PEPEUSDT", 1.0), "x")
    table.sized(_raw("bybit", "1000PEPEUSDT", 100.0), "x")
    assert told == []


def test_what_an_earlier_run_decided_is_kept() -> None:
    before, _ = _guarded()
    _size(before, _BARE, 0.02)
    shown = before.sized(_raw(*_LOTS, 0.01), "x")

    table, told = _guarded()
    table.recall(shown)

    assert (table.contract(*_LOTS).instrument, told) == ("1000PEPEUSDT", [])
    fresh, _ = _guarded()
    fresh.recall(fresh.sized(_raw(*_LOTS, 0.01), "x"))
    assert fresh.contract(*_LOTS).instrument == "PEPEUSDT"


def _named(table: EventTable) -> dict[str, set[str]]:
    names: dict[str, set[str]] = {}
    for event in map(table.event, range(len(table))):
        names.setdefault(event.symbol, set()).add(event.instrument)
    return names


def test_two_coins_of_one_spelling_in_the_stored_hour(history_file: Callable[[str], Path]) -> None:
    names = _named(load(history_file("binance_all_20251211_0136_0230.parquet")))

    assert names["BOBUSDT"] == {"BOBUSDT"}
    assert names["1000000BOBUSDT"] == {"1000000BOBUSDT"}
    assert names["1000PEPEUSDT"] == {"PEPEUSDT"}
    assert all(len(of) == 1 for of in names.values())


@pytest.mark.parametrize("is_bare_first", [True, False])
def test_files_name_by_all_that_is_in_them_whatever_comes_first(is_bare_first: bool) -> None:
    table = EventTable()
    rows = [
        EventRow(_T, "bybit", None, "1000MUMUUSDT", "long", 0.02, 500.0, 10.0),
        EventRow(_T, "bybit", None, "MUMUUSDT", "long", 0.02, 500.0, 10.0),
    ]
    for row in reversed(rows) if is_bare_first else rows:
        table.take(row)

    assert _named(table) == {"1000MUMUUSDT": {"1000MUMUUSDT"}, "MUMUUSDT": {"MUMUUSDT"}}
    assert {event.price for event in map(table.event, range(2))} == {0.02}


@pytest.mark.parametrize("is_stock_first", [True, False])
def test_files_of_two_venues_are_told_apart_by_price(is_stock_first: bool) -> None:
    table = EventTable()
    rows = [
        EventRow(_T, "okx", None, "QUBIC-USDT-SWAP", "long", 20.0, 1.0, 20.0),
        EventRow(_T + 60_000, "bybit", None, "10000QUBICUSDT", "long", 0.02, 500.0, 10.0),
    ]
    for row in rows if is_stock_first else reversed(rows):
        table.take(row)

    assert _named(table) == {"QUBIC-USDT-SWAP": {"QUBICUSDT"}, "10000QUBICUSDT": {"10000QUBICUSDT"}}


def test_a_product_in_bitcoin_that_a_file_calls_usd_is_none() -> None:
    table = EventTable()
    table.take(EventRow(_T, "binance", None, "ETHBTC", "long", 0.033, 12.5, 0.4125))
    table.take(
        EventRow(_T, "binance", None, "ETHBTC", "long", 0.033, 12.5, 33_000.0)
    )  # somebody knew the price of bitcoin
    table.take(EventRow(_T, "binance", "ETHBTC", "ETHBTC", "long", 0.033, 12.5, 0.4125))  # ours, of an earlier history

    assert [table.event(i).notional_usd for i in range(3)] == [None, 33_000.0, 0.4125]
    assert table.summary()["unsized_by_reason"] == {"quote": 1, "other": 0}


def test_what_a_file_names_stays_as_it_names_it() -> None:
    table = EventTable()
    table.take(EventRow(_T, "binance", "CATUSDT", "1000CATUSDT", "long", 0.0000062, 200_000_000.0, 1_240.0))

    event = table.event(0)
    assert (event.instrument, event.price, event.quantity) == ("CATUSDT", 0.0000062, 200_000_000.0)


def test_of_tardis_the_symbol_says_what_is_coin_margined_not_the_exchange(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    head = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
    rows = [
        "binance-futures,BTCUSD_PERP,1791391082000000,0,,sell,80000,10",
        "binance-delivery,BTCUSDT,1791391082000000,0,,sell,80000,0.5",
        "binance-delivery,BTCUSD_261225,1791391082000000,0,,sell,80000,10",
        "binance-futures,ETHBTC,1791391082000000,0,,sell,0.033,12.5",
        "binance-futures,1000CATUSDT,1791391082000000,0,,sell,0.0062,200000",
    ]
    path.write_text(head + "\n".join(rows))
    table = load(path)

    assert [(e.instrument, e.price, e.quantity, e.notional_usd) for e in map(table.event, range(len(table)))] == [
        ("BTCUSD", 80_000.0, 0.0125, 1_000.0),
        ("BTCUSDT", 80_000.0, 0.5, 40_000.0),
        ("BTCUSD_261225", 80_000.0, 0.0125, 1_000.0),
        ("ETHBTC", 0.033, 12.5, None),
        ("1000CATUSDT", 0.0062, 200_000.0, 1_240.0),
    ]


def test_a_binance_archive_is_of_the_symbol_in_its_name_whatever_alphabet(tmp_path: Path) -> None:
    path = tmp_path / "牛来USDT-liquidationSnapshot-2026-10-01.csv"
    path.write_text("1790812800000,SELL,LIMIT,IOC,100,0.02,0.02,FILLED,100,100\n")
    event = load(path).event(0)

    assert (event.instrument, event.quantity) == ("牛来USDT", 100.0)
    assert math.isclose(event.notional_usd or 0, 2.0)
