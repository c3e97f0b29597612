"""Binance: frames to events, both families of contracts, and what its answers mean."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from liqtape.errors import DecodeError
from liqtape.events import Ack, Invalid, Notice, PriceTick, RawLiquidation, Rejected
from liqtape.identity import Identities, identity
from liqtape.instruments import Contract, Instruments
from liqtape.venues import binance
from liqtape.venues.base import Venue, is_partial
from liqtape.venues.session import Session

_FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "binance"
_VENUE: Venue = binance
_ORDER = {"s": "BTCUSDT", "S": "SELL", "q": "3", "p": "79000", "ap": "80000", "l": "1", "z": "2", "T": 1790000000000}


def _frames(name: str) -> list[bytes]:
    return (_FIXTURES / name).read_bytes().splitlines()


def _expected(name: str) -> list[dict[str, Any]]:
    return [json.loads(text) for text in _frames(f"{name}.expected.ndjson")]


def _frame(
    changes: Mapping[str, object] | None = None,
    without: tuple[str, ...] = (),
    beside: Mapping[str, object] | None = None,
) -> bytes:
    order = {key: value for key, value in {**_ORDER, **(changes or {})}.items() if key not in without}
    return msgspec.json.encode({"e": "forceOrder", "E": 1790000001000, "o": order, **(beside or {})})


def _one(payload: bytes) -> RawLiquidation:
    (event,) = binance.decode(payload, None)
    assert isinstance(event, RawLiquidation)
    return event


def _reason(payload: bytes) -> str:
    (event,) = binance.decode(payload, None)
    assert isinstance(event, Invalid)
    return event.reason


def _normalized(
    frames: list[bytes], contracts: list[Contract] | None = None
) -> tuple[list[dict[str, Any]], Session, int]:
    session = Session(_VENUE, binance.endpoints(())[0])
    table = Instruments(lambda _, symbol: binance.parse_symbol(symbol))
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


@pytest.mark.parametrize("name", ["force_order", "testnet_force_order", "coin_m_force_order_2020"])
def test_real_frames_give_what_was_worked_by_hand(name: str) -> None:
    frames = _frames(f"{name}.jsonl")

    events, session, repeats = _normalized(frames)

    assert events == _expected(name)
    assert (session.ledger.frames_liquidation, session.ledger.frames_received, repeats) == (len(frames), len(frames), 0)


def test_constructed_frames_give_what_was_worked_by_hand() -> None:
    events, session, repeats = _normalized(_frames("constructed.jsonl"))

    assert events == _expected("constructed")
    assert repeats == 1
    assert (session.ledger.frames_liquidation, session.ledger.frames_received) == (18, 18)


def test_the_venues_list_sizes_what_the_bundled_table_does_not_know() -> None:
    listed = binance.decode_instruments((_FIXTURES / "exchange_info_coinm.json").read_bytes()).contracts

    events, _, _ = _normalized(_frames("constructed.jsonl"), listed)

    changed = [(ours, other) for ours, other in zip(events, _expected("constructed"), strict=True) if ours != other]
    assert [ours["symbol"] for ours, _ in changed] == ["ZZZUSD_PERP"]
    assert (changed[0][0]["notional_usd"], changed[0][0]["quantity"]) == (50.0, 25.0)  # 5 x 10 USD, at 2 USD


def test_trades_give_a_price_and_no_liquidation() -> None:
    ticks = [binance.decode(frame, 7) for frame in _frames("agg_trade.jsonl")]

    assert ticks == [
        [PriceTick("binance", "BTCUSDT", 83434.4, 0.016, 1791391081874, 7)],
        [PriceTick("binance", "BTCUSDT", 64990.9, 0.002, 1786171884471, 7)],
        [PriceTick("binance", "BTCUSDT", 64339.2, 0.123, 1781416438926, 7)],
        [PriceTick("binance", "BTCUSD_PERP", 64304.7, 382.0, 1781416505483, 7)],
        [PriceTick("binance", "BTCUSDT", 64348.95, 0.00009, 1781416576889, 7)],
    ]


@pytest.mark.parametrize(
    "change", [{"p": "0"}, {"q": "nan"}, {"T": 1790000000}, {"p": "inf"}, {"T": 1790000000000000}], ids=str
)
def test_an_impossible_trade_is_a_decode_error(change: dict[str, object]) -> None:
    trade = {"e": "aggTrade", "s": "BTCUSDT", "p": "80000", "q": "1", "T": 1790000000000}

    assert len(binance.decode(msgspec.json.encode(trade), None)) == 1
    with pytest.raises(DecodeError):
        binance.decode(msgspec.json.encode(trade | change), None)


def test_control_frames() -> None:
    assert [binance.decode(frame, None) for frame in _frames("control.jsonl")] == [
        [Ack("1")],
        [Ack("1")],
        [Ack("1")],
        [],
    ]


@pytest.mark.parametrize(
    ("frame", "event"),
    [
        ('{"error":{"code":2,"msg":"Invalid request"},"id":7}', Rejected("7", '{"code":2,"msg":"Invalid request"}')),
        ('{"id":7,"error":{"code":2,"msg":"Invalid request"}}', Rejected("7", '{"code":2,"msg":"Invalid request"}')),
        ('{"code":2,"msg":"Invalid request"}', Rejected("", "Invalid request")),
        ('{"code":2,"msg":"Invalid request","id":7}', Rejected("7", "Invalid request")),
        ('{"result":null,"id":"7"}', Ack("7")),
        ('{"e":"serverShutdown","E":1}', Notice("serverShutdown")),
    ],
    ids=["error", "error, other order", "code", "code with id", "ack", "shutdown"],
)
@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "wrapped"])
def test_answers_decode_in_every_wrapping(frame: str, event: object, wrapped: bool) -> None:
    text = f'{{"stream":"x","data":{frame}}}' if wrapped else frame

    assert binance.decode(text.encode(), None) == [event]


@pytest.mark.parametrize(("order_side", "closed"), [("SELL", "long"), ("BUY", "short")])
@pytest.mark.parametrize("symbol", ["BTCUSDT", "BTCUSD_PERP"])
def test_a_forced_sell_closes_a_long(order_side: str, closed: str, symbol: str) -> None:
    assert _one(_frame({"S": order_side, "s": symbol})).side == closed


@pytest.mark.parametrize("order_side", ["sell", "Buy", "", "BOTH", "LONG"])
def test_an_unknown_side_is_invalid(order_side: str) -> None:
    assert _reason(_frame({"S": order_side})) == "side"


@pytest.mark.parametrize(
    ("without", "price", "kind", "size"),
    [
        ((), 80000.0, "fill", 2.0),
        (("ap",), 79000.0, "bankruptcy", 2.0),
        (("z",), 80000.0, "fill", 3.0),
        (("ap", "z"), 79000.0, "bankruptcy", 3.0),
        (("p", "q", "l"), 80000.0, "fill", 2.0),
    ],
    ids=["all there", "no ap", "no z", "neither", "only ap and z"],
)
def test_average_fill_and_filled_quantity_else_limit_and_order_quantity(
    without: tuple[str, ...], price: float, kind: str, size: float
) -> None:
    event = _one(_frame(without=without))

    assert (event.price, event.price_kind, event.size) == (price, kind, size)


@pytest.mark.parametrize("without", [("ap", "p"), ("z", "q"), ("s",), ("S",), ("T",)], ids=str)
def test_an_order_without_what_it_needs_makes_the_frame_undecodable(without: tuple[str, ...]) -> None:
    with pytest.raises(DecodeError):
        binance.decode(_frame(without=without), None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"z": "0"}, "size"),
        ({"z": "-1"}, "size"),
        ({"z": "NaN"}, "size"),
        ({"ap": "0"}, "price"),
        ({"ap": "-1"}, "price"),
        ({"ap": "Infinity"}, "price"),
        ({"T": 0}, "event time"),
        ({"T": 1790000000}, "event time"),
        ({"T": 1790000000000000}, "event time"),
        ({"T": 2**63}, "event time"),
        ({"T": 2**63 - 1}, "event time"),
        ({"T": -1}, "event time"),
        ({"s": ""}, "symbol"),
    ],
    ids=str,
)
def test_an_impossible_value_is_invalid(change: dict[str, object], reason: str) -> None:
    assert _reason(_frame(change)) == reason


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "true", "null", "[]", "1e999", '"1e999"', '"\\ud800"'])
@pytest.mark.parametrize("field", ["T", "z", "ap"])
def test_a_value_that_is_no_number_never_passes(field: str, literal: str) -> None:
    payload = _frame({field: "@"}, without=("p", "q")).replace(b'"@"', literal.encode())

    with pytest.raises(DecodeError):
        binance.decode(payload, None)


@pytest.mark.parametrize(
    ("symbol", "inside", "beside", "unit"),
    [
        ("BTCUSD_PERP", 2, None, "contracts"),
        ("BTCUSD_PERP", None, 2, "contracts"),
        ("BTCUSD_PERP", None, None, "contracts"),
        ("BTCUSD_261225", None, None, "contracts"),
        ("BTCUSD_PERP", 1, None, "contracts"),
        ("BTCUSDT", 1, None, "base"),
        ("BTCUSDT", None, 1, "base"),
        ("BTCUSDT", None, None, "base"),
        ("BTCUSDT_261225", 1, None, "base"),
        ("BTCUSDT_261225", None, None, "base"),
        ("BTCUSDC_261225", None, None, "base"),
        ("BTCUSDT", 2, None, "contracts"),
        ("BTCUSDT", 1, 2, "contracts"),
    ],
)
def test_coin_margined_by_its_type_or_by_its_name(
    symbol: str, inside: int | None, beside: int | None, unit: str
) -> None:
    changes = {"s": symbol} if inside is None else {"s": symbol, "st": inside}
    frame = _frame(changes, beside=None if beside is None else {"st": beside})

    assert _one(frame).unit == unit
    assert _one(b'{"stream":"!forceOrder@arr","data":' + frame + b"}").unit == unit


@pytest.mark.parametrize("symbol", ["ZZZUSD_PERP", "ZZZUSD_261225", "ZZZUSD", "BTCUSDT", "BTC"])
def test_contracts_of_unknown_size_stay_unsized(symbol: str) -> None:
    raw = _one(_frame({"s": symbol, "st": 2}))

    sized = Instruments(lambda _, name: binance.parse_symbol(name)).sized(raw, "")

    assert (sized.quantity, sized.notional_usd) == (None, None)


def _reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _reordered(value[key]) for key in reversed(value)}
    return [_reordered(item) for item in value] if isinstance(value, list) else value


_ALL = ["force_order", "testnet_force_order", "coin_m_force_order_2020", "agg_trade", "control"]


@pytest.mark.parametrize("name", _ALL)
def test_neither_order_of_keys_nor_whitespace_nor_wrapping_matters(name: str) -> None:
    for frame in _frames(f"{name}.jsonl"):
        message = json.loads(frame)
        inner = message.get("data", message)
        variants = [
            _reordered(message),
            {key: message[key] for key in sorted(message)},
            inner,
            {"stream": "x", "data": inner},
            {"data": inner, "stream": "x"},
        ]
        ours = binance.decode(frame, 5)
        for variant in variants:
            assert binance.decode(json.dumps(variant, ensure_ascii=False).encode(), 5) == ours
            assert binance.decode(b" \n" + json.dumps(variant, indent=1).encode() + b"\r\n", 5) == ours
            assert binance.decode(msgspec.json.encode(variant), 5) == ours


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"pong",
        b"{}",
        b"[]",
        b"null",
        b'"forceOrder"',
        b'{"stream":"!forceOrder@arr"}',
        b'{"stream":"!forceOrder@arr","data":[]}',
        b'{"stream":"!forceOrder@arr","data":{"e":"forceOrder"}}',
        b'{"e":"forceOrder","o":{"s":"BTCUSDT","S":"SE',
        b'{"e":"forceOrder","o":{"s":"\xff"}}',
        b'{"e":"forceOrder","x":' + b"[" * 100_000,
        b'{"stream":"x","data":' + b'{"data":' * 100_000,
    ],
    ids=range(13),
)
def test_what_is_not_documented_is_a_decode_error(frame: bytes) -> None:
    with pytest.raises(DecodeError):
        binance.decode(frame, None)


@pytest.mark.parametrize(
    ("symbol", "instrument", "inverse", "unit_value", "factor"),
    [
        ("BTCUSDT", "BTCUSDT", False, None, 1),
        ("BTCUSDC", "BTCUSDC", False, None, 1),
        ("USDCUSDT", "USDCUSDT", False, None, 1),
        ("BTCUSDT_261225", "BTCUSDT_261225", False, None, 1),
        ("BTCUSD_PERP", "BTCUSD", True, "100", 1),
        ("BTCUSD_261225", "BTCUSD_261225", True, "100", 1),
        ("ETHUSD_PERP", "ETHUSD", True, "10", 1),
        ("ZZZUSD_PERP", "ZZZUSD", True, None, 1),
        ("1000PEPEUSDT", "PEPEUSDT", False, None, 1000),
        ("1000PEPEUSDC", "PEPEUSDC", False, None, 1000),
        ("1000SHIBUSDT", "SHIBUSDT", False, None, 1000),
        ("1000000MOGUSDT", "MOGUSDT", False, None, 1_000_000),
        ("1INCHUSDT", "1INCHUSDT", False, None, 1),
        ("牛来USDT", "牛来USDT", False, None, 1),
        ("nonsense", "nonsense", False, None, 1),
        ("USDT", "USDT", False, None, 1),
    ],
)
def test_spelling(symbol: str, instrument: str, inverse: bool, unit_value: str | None, factor: int) -> None:
    c = binance.parse_symbol(symbol)

    assert (c.venue, c.symbol, c.instrument) == ("binance", symbol, instrument)
    assert (c.inverse, c.unit_value, c.factor) == (inverse, unit_value, factor)


def test_the_lists_of_instruments() -> None:
    usdm, coinm = (
        binance.decode_instruments((_FIXTURES / f"exchange_info_{kind}.json").read_bytes())
        for kind in ("usdm", "coinm")
    )

    assert [(c.symbol, c.instrument, c.inverse, c.unit_value, c.factor) for c in usdm.contracts] == [
        ("BTCUSDT", "BTCUSDT", False, None, 1),
        ("1000PEPEUSDT", "PEPEUSDT", False, None, 1000),
        ("BTCUSDT_261225", "BTCUSDT_261225", False, None, 1),
        ("牛来USDT", "牛来USDT", False, None, 1),
    ]
    assert [(c.symbol, c.instrument, c.inverse, c.unit_value, c.factor) for c in coinm.contracts] == [
        ("BTCUSD_PERP", "BTCUSD", True, "100", 1),
        ("BTCUSD_261225", "BTCUSD_261225", True, "100", 1),
        ("ZZZUSD_PERP", "ZZZUSD", True, "10", 1),
    ]
    assert (usdm.next_query, coinm.next_query) == ("", "")


@pytest.mark.parametrize(
    ("size", "unit_value"),
    [
        (100, "100"),
        ("10", "10"),
        (0.5, "0.5"),
        *((nonsense, None) for nonsense in (0, -10, "", "ten", "NaN", "1e999999999", "Infinity", "1e-13")),
        (None, "100"),
    ],
    ids=str,
)
def test_a_listed_size_that_is_no_sensible_number_leaves_the_contract_unsized(
    size: object, unit_value: str | None
) -> None:
    listing = msgspec.json.encode({"symbols": [{"symbol": "BTCUSD_PERP", "contractSize": size}]})

    (contract,) = binance.decode_instruments(listing).contracts

    assert contract.unit_value == unit_value


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"[]",
        b'{"code":-1003,"msg":"Too many requests"}',
        b'{"symbols":[{"symbol":"\xff"}]}',
        b'{"x":' + b"[" * 100_000,
    ],
    ids=range(6),
)
def test_an_answer_without_instruments_is_a_decode_error(payload: bytes) -> None:
    with pytest.raises(DecodeError):
        binance.decode_instruments(payload)


def test_description_keeps_the_venues_rules() -> None:
    (endpoint,) = binance.endpoints(["BTCUSDT", "ETHUSDT"])

    # The unrouted path still acknowledges and stays silent; only one host, or every event would come twice.
    assert endpoint.url == "wss://fstream.binance.com/market/ws"
    assert endpoint.topics == ("!forceOrder@arr", "btcusdt@aggTrade")
    assert json.loads(binance.subscribe("3", endpoint.topics)) == {
        "method": "SUBSCRIBE",
        "params": ["!forceOrder@arr", "btcusdt@aggTrade"],
        "id": 3,
    }
    assert binance.topics_per_request < 200
    assert binance.slot_seconds == 1
    assert not is_partial(_VENUE)
