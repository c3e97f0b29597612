"""Bybit: frames to events, copies, connections within the venue's limits, its lists of instruments."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape.errors import DecodeError
from liqtape.events import Ack, Invalid, Pong, PriceTick, RawLiquidation, Rejected
from liqtape.identity import Identities, identity
from liqtape.instruments import Contract, Instruments
from liqtape.venues import bybit
from liqtape.venues.base import Venue, is_partial
from liqtape.venues.session import Session

_FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "bybit"
_VENUE: Venue = bybit
_ROW: dict[str, Any] = {"T": 1790000000000, "s": "BTCUSDT", "S": "Buy", "v": "0.5", "p": "80000"}


def _frames(name: str) -> list[bytes]:
    return (_FIXTURES / name).read_bytes().splitlines()


def _expected(name: str) -> list[dict[str, Any]]:
    return [json.loads(text) for text in _frames(f"{name}.expected.ndjson")]


def _frame(*rows: dict[str, Any], topic: str = "allLiquidation.BTCUSDT") -> bytes:
    return msgspec.json.encode({"topic": topic, "type": "snapshot", "ts": 1790000000500, "data": rows})


def _normalized(
    frames: list[bytes], contracts: list[Contract] | None = None
) -> tuple[list[dict[str, Any]], Session, int]:
    session = Session(_VENUE, bybit.endpoints(["BTCUSDT"])[0])
    table = Instruments(lambda _, symbol: bybit.parse_symbol(symbol))
    table.load(contracts or [])
    seen = Identities()
    events: list[dict[str, Any]] = []
    repeats = 0
    for frame in frames:
        for event in session.received(frame, None, 0.0):
            if not isinstance(event, RawLiquidation):
                continue
            if seen.is_new(identity(event), event.event_ms):
                events.append({"schema": 1, **msgspec.to_builtins(table.sized(event, identity(event)))})
            else:
                repeats += 1
    return events, session, repeats


def test_real_liquidations_give_what_was_worked_by_hand() -> None:
    events, session, repeats = _normalized(_frames("all_liquidation.jsonl"))

    assert events == _expected("all_liquidation")
    assert (session.ledger.frames_liquidation, session.ledger.frames_received, repeats) == (6, 6, 0)


def test_constructed_frames_give_what_was_worked_by_hand() -> None:
    events, session, repeats = _normalized(_frames("constructed.jsonl"))

    assert events == _expected("constructed")
    assert repeats == 3 + 2  # frame 2 whole; two of the three rows of frame 3
    assert (session.ledger.frames_liquidation, session.ledger.frames_other_topic) == (15, 1)


def test_the_list_of_instruments_dates_a_quarterly_contract() -> None:
    listed = bybit.decode_instruments((_FIXTURES / "instruments_info_inverse.json").read_bytes()).contracts

    events, _, _ = _normalized(_frames("constructed.jsonl"), listed)

    changed = [(ours, other) for ours, other in zip(events, _expected("constructed"), strict=True) if ours != other]
    assert [{**ours, "instrument": "BTCUSDZ26"} == other for ours, other in changed] == [True]
    assert changed[0][0]["instrument"] == "BTCUSD_261225"


@pytest.mark.parametrize("index", [0, 1])
def test_the_retired_topic_gives_nothing(index: int) -> None:
    assert bybit.decode(_frames("legacy_liquidation.jsonl")[index], None) == []


def test_trades_give_prices_and_no_liquidation() -> None:
    first, second = (bybit.decode(frame, 7) for frame in _frames("public_trade.jsonl"))

    assert first == [
        PriceTick("bybit", "BTCUSDT", 64345.2, 0.001, 1781415763021, 7),
        PriceTick("bybit", "BTCUSDT", 64345.2, 0.01, 1781415763021, 7),
    ]
    assert second == [PriceTick("bybit", "BTCUSD", 64318.8, 2485.0, 1781416510190, 7)]


def test_an_impossible_trade_is_left_out() -> None:
    rows = [_ROW | change for change in ({"p": "0"}, {"v": "nan"}, {"T": 1790000000}, {"p": "79000"})]

    assert bybit.decode(_frame(*rows, topic="publicTrade.BTCUSDT"), None) == [
        PriceTick("bybit", "BTCUSDT", 79000.0, 0.5, 1790000000000)
    ]


def test_control_frames() -> None:
    assert [bybit.decode(frame, None) for frame in _frames("control.jsonl")] == [
        [Ack()],
        [Ack("sub-orderbook-1")],
        [Rejected("", "Invalid topic: invalid.topic.BTCUSDT")],
        [Rejected("", "Invalid symbol")],
        [Pong()],
        [],
    ]


def test_a_refusal_bears_the_id_it_answers() -> None:
    frame = b'{"success":false,"ret_msg":"Invalid symbol","conn_id":"x","req_id":"7","op":"subscribe"}'

    assert bybit.decode(frame, None) == [Rejected("7", "Invalid symbol")]


@pytest.mark.parametrize(
    "frame",
    [
        b'{"op":"pong","args":["1790000000000"],"conn_id":"x"}',
        b'{"op":"ping","success":true,"ret_msg":"pong"}',
        b'{"success":true,"ret_msg":"pong","conn_id":"x","req_id":"7","op":"ping"}',
    ],
)
def test_a_pong_is_no_acknowledgement(frame: bytes) -> None:
    assert bybit.decode(frame, None) == [Pong()]


@pytest.mark.parametrize(("position_side", "closed"), [("Buy", "long"), ("Sell", "short")])
@pytest.mark.parametrize(
    ("symbol", "unit"), [("BTCUSDT", "base"), ("BTCUSD", "usd"), ("BTCUSDZ26", "usd"), ("BTCPERP", "base")]
)
def test_the_side_is_that_of_the_position(position_side: str, closed: str, symbol: str, unit: str) -> None:
    (event,) = bybit.decode(_frame(_ROW | {"S": position_side, "s": symbol}), 3)

    assert isinstance(event, RawLiquidation)
    assert (event.side, event.unit, event.size) == (closed, unit, 0.5)
    assert (event.price_kind, event.receive_ms, event.replayed) == ("bankruptcy", 3, False)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"S": "buy"}, "side"),
        ({"S": ""}, "side"),
        ({"S": "None"}, "side"),
        ({"s": ""}, "symbol"),
        ({"v": "0"}, "size"),
        ({"v": "-1"}, "size"),
        ({"v": "NaN"}, "size"),
        ({"v": "Infinity"}, "size"),
        ({"p": "0"}, "price"),
        ({"p": "-inf"}, "price"),
        ({"T": 0}, "event time"),
        ({"T": -1}, "event time"),
        ({"T": 1790000000}, "event time"),
        ({"T": 1790000000000000}, "event time"),
        ({"T": 2**63}, "event time"),
        ({"T": 2**70}, "event time"),
    ],
    ids=str,
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_impossible_value_spoils_only_its_row(change: dict[str, Any], reason: str, place: int) -> None:
    rows = [_ROW | {"p": "80001"}, _ROW | {"p": "80002"}]
    rows.insert(place, _ROW | change)

    events = bybit.decode(_frame(*rows), None)

    bad = events.pop(place)
    assert isinstance(bad, Invalid)
    assert bad.reason == reason
    assert [event.price for event in events if isinstance(event, RawLiquidation)] == [80001.0, 80002.0]


@pytest.mark.parametrize(
    "row",
    [
        *('{"T":1790000000000}', "[]", "null", "1", '"x"', "{}"),
        '{"T":true,"s":"BTCUSDT","S":"Buy","v":"1","p":"1"}',
        '{"T":1790000000000,"s":"BTCUSDT","S":"Buy","v":"1e999","p":"1"}',
        '{"T":1790000000000.5,"s":"A","S":"Buy","v":"1","p":"1"}',
    ],
)
def test_a_malformed_row_spoils_only_itself(row: str) -> None:
    payload = _frame(_ROW, {"@": 1}, _ROW).replace(b'{"@":1}', row.encode())

    first, bad, last = bybit.decode(payload, None)

    assert isinstance(bad, Invalid)
    assert bad.row == row
    assert isinstance(first, RawLiquidation)
    assert isinstance(last, RawLiquidation)
    assert (first.copy, last.copy) == (1, 2)


def test_a_frame_of_nothing_but_malformed_rows_is_undecodable() -> None:
    with pytest.raises(DecodeError):
        bybit.decode(_frame({"T": 1}, {"T": 2}), None)


def test_a_long_bad_row_is_cut_short() -> None:
    (event, _) = bybit.decode(_frame(_ROW | {"v": "0", "s": "牛" * 10_000}, _ROW), None)

    assert isinstance(event, Invalid)
    assert len(event.row) <= 300


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"pong",
        b"{}",
        b"[]",
        b"null",
        b'{"op":"subscribe"}',
        b'{"topic":"allLiquidation.BTCUSDT"}',
        b'{"topic":"allLiquidation.BTCUSDT","data":{}}',
        b'{"topic":"allLiquidation.BTCUSDT","data":[{"T":1790',
        b'{"topic":"allLiquidation.BTCUSDT","data":[{"T":NaN}]}',
        b'{"topic":"allLiquidation.BTCUSDT","data":[{"s":"\xff"}]}',
        b'{"topic":"allLiquidation.BTCUSDT","data":[{"s":"\\ud800"}]}',
        b'{"topic":"publicTrade.BTCUSDT","data":{}}',
        b'{"topic":7}',
        b'{"topic":"allLiquidation.BTCUSDT","data":' + b"[" * 100_000,
        b'{"topic":"x","data":' + b"[" * 100_000,
    ],
    ids=range(16),
)
def test_what_is_not_documented_is_a_decode_error(frame: bytes) -> None:
    with pytest.raises(DecodeError):
        bybit.decode(frame, None)


def _reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _reordered(value[key]) for key in reversed(value)}
    return [_reordered(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", ["all_liquidation", "public_trade", "control", "legacy_liquidation", "constructed"])
def test_neither_order_of_keys_nor_whitespace_matters(name: str) -> None:
    for frame in _frames(f"{name}.jsonl"):
        message = json.loads(frame)
        ours = [event for event in bybit.decode(frame, 5) if not isinstance(event, Invalid)]
        for variant in (
            msgspec.json.encode(_reordered(message)),
            json.dumps(message, indent=1).encode(),
            b"\n " + json.dumps(_reordered(message), ensure_ascii=False).encode() + b"\r\n",
        ):
            assert [event for event in bybit.decode(variant, 5) if not isinstance(event, Invalid)] == ours


@given(st.lists(st.sampled_from("abc"), max_size=12))
def test_equal_rows_of_a_frame_are_numbered(kinds: list[str]) -> None:
    prices = {"a": "80000", "b": "80001", "c": "80002"}

    events = bybit.decode(_frame(*(_ROW | {"p": prices[kind]} for kind in kinds)), None)

    assert [event.copy for event in events if isinstance(event, RawLiquidation)] == [
        kinds[: i + 1].count(kind) for i, kind in enumerate(kinds)
    ]


@pytest.mark.parametrize("field", ["T", "s", "S", "v", "p"])
def test_each_field_makes_another_liquidation(field: str) -> None:
    other = {"T": 1790000000001, "s": "ETHUSDT", "S": "Sell", "v": "0.6", "p": "80001"}[field]

    events = bybit.decode(_frame(_ROW, _ROW | {field: other}), None)

    assert len({identity(event) for event in events if isinstance(event, RawLiquidation)}) == 2
    assert [event.copy for event in events if isinstance(event, RawLiquidation)] == [1, 1]


@pytest.mark.parametrize(
    ("symbol", "instrument", "inverse", "factor"),
    [
        ("BTCUSDT", "BTCUSDT", False, 1),
        ("BTCPERP", "BTCUSDC", False, 1),
        ("PERPUSDT", "PERPUSDT", False, 1),
        ("USDCUSDT", "USDCUSDT", False, 1),
        ("BTC-26DEC25", "BTCUSDC_251226", False, 1),
        ("BTC-2JAN26", "BTCUSDC_260102", False, 1),
        ("BTCUSDT-26DEC25", "BTCUSDT_251226", False, 1),
        ("BTCUSD", "BTCUSD", True, 1),
        ("BTCUSDZ26", "BTCUSDZ26", True, 1),
        ("1000PEPEUSDT", "PEPEUSDT", False, 1000),
        ("1000PEPEPERP", "PEPEUSDC", False, 1000),
        ("SHIB1000USDT", "SHIBUSDT", False, 1000),
        ("10000LADYSUSDT", "LADYSUSDT", False, 10_000),
        ("1000000MOGUSDT", "MOGUSDT", False, 1_000_000),
        ("1INCHUSDT", "1INCHUSDT", False, 1),
        ("牛来USDT", "牛来USDT", False, 1),
        ("nonsense", "nonsense", False, 1),
    ],
)
def test_spelling(symbol: str, instrument: str, inverse: bool, factor: int) -> None:
    contract = bybit.parse_symbol(symbol)

    assert (contract.venue, contract.symbol) == ("bybit", symbol)
    assert (contract.instrument, contract.inverse, contract.factor) == (instrument, inverse, factor)


def test_the_lists_of_instruments_page_by_page() -> None:
    linear, inverse = (
        bybit.decode_instruments((_FIXTURES / f"instruments_info_{kind}.json").read_bytes())
        for kind in ("linear", "inverse")
    )

    # What is not traded yet is left out; the cursor reaches the venue as it was given.
    assert [(c.symbol, c.instrument, c.inverse, c.factor) for c in linear.contracts] == [
        ("BTCUSDT", "BTCUSDT", False, 1),
        ("SHIB1000USDT", "SHIBUSDT", False, 1000),
        ("BTCPERP", "BTCUSDC", False, 1),
        ("BTC-26DEC25", "BTCUSDC_251226", False, 1),
        ("BTCUSDT-26DEC25", "BTCUSDT_251226", False, 1),
        ("NEWUSDT", "NEWUSDT", False, 1),
    ]
    assert [c.symbol for c in linear.contracts if c.is_pre_market] == ["NEWUSDT"]
    assert linear.next_query == "&cursor=first%253D1000PEPEUSDT%2526last%253DBTCUSDT-26DEC25"
    assert [(c.symbol, c.instrument, c.inverse) for c in inverse.contracts] == [
        ("BTCUSD", "BTCUSD", True),
        ("BTCUSDZ26", "BTCUSD_261225", True),
    ]
    assert inverse.next_query == ""


@pytest.mark.parametrize("delivery", ["0", "", "soon", "²", "1798185600", "-1798185600000", "9" * 40])
def test_a_delivery_time_that_is_no_date_leaves_the_code(delivery: str) -> None:
    row = {"symbol": "BTCUSDZ26", "status": "Trading", "deliveryTime": delivery}

    (contract,) = bybit.decode_instruments(msgspec.json.encode({"result": {"list": [row]}})).contracts

    assert contract.instrument == "BTCUSDZ26"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"[]",
        b'{"retCode":10006,"retMsg":"Too many visits!","result":{}}',
        b'{"result":{"list":[{"symbol":"\xff"}]}}',
        b'{"x":' + b"[" * 100_000,
    ],
    ids=range(6),
)
def test_an_answer_without_instruments_is_a_decode_error(payload: bytes) -> None:
    with pytest.raises(DecodeError):
        bybit.decode_instruments(payload)


_SYMBOLS = [f"{'X' * (i % 14)}{i}USDT" for i in range(1_000)]


@pytest.mark.parametrize(
    "symbols",
    [_SYMBOLS, [*_SYMBOLS, "BTCUSD", "BTCUSDZ26", "ETHUSD"], [f"C{i}USD" for i in range(1_500)], ["BTCUSDT"], []],
    ids=["linear", "both", "inverse", "one", "none"],
)
def test_connections_keep_the_limit_on_length_and_carry_each_symbol_once(symbols: list[str]) -> None:
    endpoints = bybit.endpoints(symbols)

    topics = [topic for endpoint in endpoints for topic in endpoint.topics if topic != endpoint.canary]
    assert sorted(topics) == sorted(f"allLiquidation.{symbol}" for symbol in symbols)
    for endpoint in endpoints:
        assert len(json.dumps(endpoint.topics, separators=(",", ":"))) <= 21_000
        assert endpoint.topics.count(endpoint.canary) == 1
        assert len(endpoint.topics) > 1


def test_a_symbol_named_twice_is_subscribed_once() -> None:
    (endpoint,) = bybit.endpoints(["BTCUSDT", "ETHUSDT", "BTCUSDT"])

    assert endpoint.topics == ("publicTrade.BTCUSDT", "allLiquidation.BTCUSDT", "allLiquidation.ETHUSDT")


def test_categories_have_their_own_connection() -> None:
    linear, inverse = bybit.endpoints(["BTCUSDT", "BTCUSD", "BTCPERP", "BTCUSDZ26", "BTC-26DEC25"])

    assert linear.url == "wss://stream.bybit.com/v5/public/linear"
    assert set(linear.topics) == {
        "publicTrade.BTCUSDT",
        "allLiquidation.BTCUSDT",
        "allLiquidation.BTCPERP",
        "allLiquidation.BTC-26DEC25",
    }
    assert inverse.url == "wss://stream.bybit.com/v5/public/inverse"
    assert set(inverse.topics) == {"publicTrade.BTCUSD", "allLiquidation.BTCUSD", "allLiquidation.BTCUSDZ26"}


def test_description_keeps_the_venues_rules() -> None:
    assert json.loads(bybit.subscribe("3", ["a", "b"])) == {"op": "subscribe", "req_id": "3", "args": ["a", "b"]}
    assert json.loads(bybit.heartbeat.frame) == {"op": "ping"}
    assert bybit.heartbeat.every <= 20
    assert not bybit.heartbeat.only_when_idle
    assert bybit.slot_seconds is None
    assert bybit.listing_needed
    assert {"BTCUSDT", "BTCUSD", "BTCPERP"} <= set(bybit.bundled_symbols)
    assert len(set(bybit.bundled_symbols)) == len(bybit.bundled_symbols)
    assert not is_partial(_VENUE)
