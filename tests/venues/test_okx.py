"""OKX: frames to events, sizes, the flow of a session."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape.errors import DecodeError, FeedStalled, SubscriptionRefused
from liqtape.events import Ack, Event, Invalid, Notice, Pong, PriceTick, RawLiquidation, Rejected
from liqtape.identity import Identities, identity
from liqtape.instruments import Contract, Instruments
from liqtape.venues import okx
from liqtape.venues.base import Venue, is_partial
from liqtape.venues.session import Session

_FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "okx"
_VENUE: Venue = okx
_SWAP = {"channel": "liquidation-orders", "instType": "SWAP"}
_ROW = {"bkLoss": "0", "bkPx": "80000", "ccy": "", "posSide": "long", "side": "sell", "sz": "5", "ts": "1790000000000"}


def _frames(name: str) -> list[bytes]:
    return (_FIXTURES / name).read_bytes().splitlines()


def _expected(name: str) -> list[dict[str, Any]]:
    return [json.loads(text) for text in _frames(f"{name}.expected.ndjson")]


def _frame(*details: dict[str, Any], inst_id: str = "BTC-USDT-SWAP", arg: dict[str, str] | None = None) -> bytes:
    row = {"details": details, "instFamily": "BTC-USDT", "instId": inst_id, "instType": "SWAP", "uly": "BTC-USDT"}
    return msgspec.json.encode({"arg": _SWAP if arg is None else arg, "data": [row]})


def _row(**changes: object) -> dict[str, Any]:
    return {**_ROW, **changes}


def _session() -> Session:
    return Session(_VENUE, okx.endpoints(())[0])


def _normalized(frames: list[bytes], contracts: list[Contract]) -> tuple[list[dict[str, Any]], Session, int]:
    session = _session()
    table = Instruments(lambda _, symbol: okx.parse_symbol(symbol))
    table.load(contracts)
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


def test_real_liquidations_without_a_list_of_instruments_are_unsized() -> None:
    events, session, repeats = _normalized(_frames("liquidation_orders.jsonl"), [])

    assert events == _expected("liquidation_orders")
    assert (session.ledger.frames_liquidation, session.ledger.frames_received, repeats) == (4, 4, 0)


@pytest.mark.parametrize("with_list", [False, True], ids=["bundled table", "the venue's list"])
def test_constructed_frames_give_what_was_worked_by_hand(with_list: bool) -> None:
    listed = okx.decode_instruments((_FIXTURES / "rest_instruments_swap.json").read_bytes()).contracts

    events, session, repeats = _normalized(_frames("constructed.jsonl"), listed if with_list else [])

    assert events == _expected("constructed")
    assert repeats == 1
    assert (session.ledger.frames_liquidation, session.ledger.frames_undecodable) == (8, 1)


def test_bad_rows_are_invalid_and_the_good_row_stands() -> None:
    events = okx.decode(_frames("constructed.jsonl")[6], None)

    assert [type(event) for event in events] == [Invalid, Invalid, RawLiquidation]
    assert isinstance(events[0], Invalid)
    assert events[0].reason == "size"


def test_trades_give_a_price_and_no_liquidation() -> None:
    (frame,) = _frames("trades.jsonl")

    assert okx.decode(frame, 7) == [PriceTick("okx", "BTC-USDT-SWAP", 64311.0, 31.27, 1781416584831, 7)]


def test_control_frames() -> None:
    text = _frames("control.jsonl")[1]
    error = (
        "60018 Wrong URL or channel:liquidation-orders,instId:BTC-USDT-SWAP doesn't exist. "
        "Please use the correct URL, channel and parameters referring to API document."
    )
    notice = "64008 The connection will soon be closed for a service upgrade. Please reconnect."

    assert [okx.decode(frame, None) for frame in _frames("control.jsonl")] == [
        [Ack(topic="liquidation-orders:SWAP")],
        [Rejected(reason=error, topic="liquidation-orders:BTC-USDT-SWAP")],
        [Notice(notice)],
        [Pong()],
    ]
    assert json.loads(text)["code"] == "60018"


@pytest.mark.parametrize(
    ("pos_side", "side", "closed"),
    [
        ("long", "sell", "long"),
        ("long", "buy", "long"),
        ("short", "buy", "short"),
        ("short", "sell", "short"),
        ("net", "sell", "long"),
        ("net", "buy", "short"),
    ],
)
def test_side_is_the_position_side_and_for_net_the_opposite_of_the_order(pos_side: str, side: str, closed: str) -> None:
    (event,) = okx.decode(_frame(_row(posSide=pos_side, side=side)), None)

    assert isinstance(event, RawLiquidation)
    assert event.side == closed
    assert (event.price_kind, event.unit, event.size, event.replayed) == ("bankruptcy", "contracts", 5.0, False)


@pytest.mark.parametrize(("pos_side", "side"), [("both", "sell"), ("net", "SELL"), ("", "sell"), ("long", "")])
def test_an_unknown_side_is_invalid(pos_side: str, side: str) -> None:
    (event,) = okx.decode(_frame(_row(posSide=pos_side, side=side)), None)

    assert isinstance(event, Invalid)
    assert event.reason == "side"


@pytest.mark.parametrize(
    "change",
    [
        {"posSide": "net"},
        {"posSide": "short"},
        {"side": "buy"},
        {"sz": "6"},
        {"bkPx": "80001"},
        {"ts": "1790000000001"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_field_of_the_identity_makes_another_liquidation(change: dict[str, str]) -> None:
    one, other = okx.decode(_frame(_row(), _row(**change)), None)

    assert isinstance(one, RawLiquidation)
    assert isinstance(other, RawLiquidation)
    assert identity(one) != identity(other)


def test_the_instrument_belongs_to_the_identity() -> None:
    ids = {
        identity(event)
        for symbol in ("BTC-USDT-SWAP", "BTC-USDC-SWAP")
        for event in okx.decode(_frame(_ROW, inst_id=symbol), None)
        if isinstance(event, RawLiquidation)
    }

    assert len(ids) == 2


@pytest.mark.parametrize("field", ["bkPx", "posSide", "side", "sz", "ts"])
def test_a_row_without_a_field_of_the_identity_makes_the_frame_undecodable(field: str) -> None:
    row = {key: value for key, value in _ROW.items() if key != field}

    with pytest.raises(DecodeError):
        okx.decode(_frame(_ROW, row), None)


@pytest.mark.parametrize("field", ["instId", "details"])
def test_a_frame_without_symbol_or_rows_is_undecodable(field: str) -> None:
    frame = json.loads(_frame(_ROW))
    del frame["data"][0][field]

    with pytest.raises(DecodeError):
        okx.decode(msgspec.json.encode(frame), None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sz": "0"}, "size"),
        ({"sz": "nan"}, "size"),
        ({"bkPx": "-1"}, "price"),
        ({"bkPx": "inf"}, "price"),
        ({"ts": "1790000000"}, "event time"),
        ({"ts": "0"}, "event time"),
        ({"ts": "1790000000000000"}, "event time"),
    ],
    ids=str,
)
def test_an_impossible_value_is_invalid(change: dict[str, str], reason: str) -> None:
    bad, good = okx.decode(_frame(_row(**change), _ROW), None)

    assert isinstance(bad, Invalid)
    assert bad.reason == reason
    assert isinstance(good, RawLiquidation)


def test_margin_and_options_are_not_ours_and_other_topics_mean_nothing() -> None:
    margin = _frame(_ROW, inst_id="BTC-USDT", arg={"channel": "liquidation-orders", "instType": "MARGIN"})
    other = b'{"arg":{"channel":"tickers","instId":"BTC-USDT-SWAP"},"data":[{}]}'

    assert okx.decode(margin, None) == []
    assert okx.decode(msgspec.json.encode(_reordered(json.loads(margin))), None) == []
    assert okx.decode(other, None) == []


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"Pong",
        b"{}",
        b"[]",
        b"null",
        b'{"arg":{"channel":"liquidation-orders","instType":"SWAP"}}',
        b'{"event":"notice","code":"1","msg":"?"}',
        b'{"event":"channel-conn-count","channel":"orders"}',
        b'{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[{"det',
        b'{"arg":{"channel":"trades\xff"}}',
        b'{"arg":{"channel":"trades"},"x":' + b"[" * 100_000,
    ],
    ids=range(11),
)
def test_what_is_not_documented_is_a_decode_error(frame: bytes) -> None:
    with pytest.raises(DecodeError):
        okx.decode(frame, None)


def _reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _reordered(value[key]) for key in reversed(value)}
    return [_reordered(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", ["liquidation_orders", "trades", "constructed"])
def test_the_order_of_keys_does_not_matter(name: str) -> None:
    frames = [frame for frame in _frames(f"{name}.jsonl") if b'"side":"buy","sz":"2","ts":"1790000004000"' not in frame]

    for frame in frames:
        turned = msgspec.json.encode(_reordered(json.loads(frame)))
        ours, others = okx.decode(frame, None), okx.decode(turned, None)
        assert [e for e in ours if not isinstance(e, Invalid)] == [e for e in others if not isinstance(e, Invalid)]
        assert len(ours) == len(others)


def test_a_confirmation_that_begins_with_its_topic_is_a_confirmation() -> None:
    frame = b'{"arg":{"channel":"liquidation-orders","instType":"FUTURES"},"event":"subscribe","connId":"a"}'

    assert okx.decode(frame, None) == [Ack(topic="liquidation-orders:FUTURES")]


_VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)


@given(st.binary(max_size=200))
def test_any_bytes_are_events_or_a_decode_error(payload: bytes) -> None:
    for frame in (payload, b'{"arg":{"channel":"liquidation-orders"' + payload):
        try:
            events: list[Event] = okx.decode(frame, None)
        except DecodeError:
            continue
        assert isinstance(events, list)


@given(st.dictionaries(st.sampled_from(sorted(_ROW)), _VALUES, max_size=3), st.sampled_from([None, *sorted(_ROW)]))
def test_any_values_are_events_or_a_decode_error(changes: dict[str, Any], missing: str | None) -> None:
    row = {key: value for key, value in {**_ROW, **changes}.items() if key != missing}
    try:
        events = okx.decode(_frame(_ROW, row), 1)
    except DecodeError:
        assert missing not in {None, "ccy", "bkLoss"}
        return
    assert len(events) == 2
    assert all(isinstance(event, RawLiquidation | Invalid) for event in events)


@pytest.mark.parametrize(
    ("symbol", "instrument", "inverse", "unit_value"),
    [
        ("BTC-USDT-SWAP", "BTCUSDT", False, "0.01"),
        ("BTC-USDC-SWAP", "BTCUSDC", False, None),
        ("BTC-USD-SWAP", "BTCUSD", True, "100"),
        ("BTC-USD-251226", "BTCUSD_251226", True, "100"),
        ("BTC-USDT-251226", "BTCUSDT_251226", False, None),
        ("ETH-USDT-SWAP", "ETHUSDT", False, "0.1"),
        ("CELO-USDT-SWAP", "CELOUSDT", False, None),
        ("1INCH-USDT-SWAP", "1INCHUSDT", False, None),
        ("BTC-USDT", "BTC-USDT", False, None),
        ("nonsense", "nonsense", False, None),
    ],
)
def test_spelling(symbol: str, instrument: str, inverse: bool, unit_value: str | None) -> None:
    c = okx.parse_symbol(symbol)

    assert (c.venue, c.symbol, c.instrument) == ("okx", symbol, instrument)
    assert (c.inverse, c.unit_value, c.factor) == (inverse, unit_value, 1)


def _listed(**changes: str) -> bytes:
    row = {
        "instId": "ABC-USDT-SWAP",
        "ctType": "linear",
        "ctVal": "10",
        "ctMult": "1",
        "ctValCcy": "ABC",
        "settleCcy": "USDT",
    }
    return msgspec.json.encode({"code": "0", "msg": "", "data": [row | changes]})


@pytest.mark.parametrize(
    ("changes", "instrument", "inverse", "unit_value"),
    [
        ({}, "ABCUSDT", False, "10"),
        ({"ctVal": "0.01", "ctMult": "10"}, "ABCUSDT", False, "0.10"),
        ({"instId": "ABC-USD-SWAP", "ctType": "inverse", "ctValCcy": "USD"}, "ABCUSD", True, "10"),
        ({"instId": "ABC-USD-SWAP", "settleCcy": "USDC"}, "ABCUSDC", False, "10"),
        ({"instId": "ABC-USD-270326", "settleCcy": "USDC"}, "ABCUSDC_270326", False, "10"),
        ({"ctVal": ""}, "ABCUSDT", False, None),
        ({"ctVal": "NaN"}, "ABCUSDT", False, None),
        ({"ctVal": "1e999999", "ctMult": "1e999999"}, "ABCUSDT", False, None),
        ({"ctVal": "0"}, "ABCUSDT", False, None),
        ({"ctValCcy": "USDT"}, "ABCUSDT", False, None),
        ({"ctType": "inverse", "ctValCcy": "ABC"}, "ABCUSDT", True, None),
        ({"ctType": ""}, "ABCUSDT", False, None),
    ],
    ids=str,
)
def test_the_list_decides_by_contract_type(
    changes: dict[str, str], instrument: str, inverse: bool, unit_value: str | None
) -> None:
    (contract,) = okx.decode_instruments(_listed(**changes)).contracts

    assert (contract.instrument, contract.inverse, contract.unit_value) == (instrument, inverse, unit_value)


@pytest.mark.parametrize("payload", [b"", b"{}", b"\xff", b'{"code":"51155","msg":"region","data":[]}', b"[" * 100_000])
def test_an_answer_without_instruments_is_a_decode_error(payload: bytes) -> None:
    with pytest.raises(DecodeError):
        okx.decode_instruments(payload)


def _ack(topic: str) -> bytes:
    channel, _, what = topic.partition(":")
    kind = "instId" if channel == "trades" else "instType"
    return msgspec.json.encode({"event": "subscribe", "arg": {"channel": channel, kind: what}, "connId": "a"})


def test_description_keeps_the_venues_rules() -> None:
    (endpoint,) = okx.endpoints(["BTC-USDT-SWAP"])

    assert endpoint.url == "wss://ws.okx.com/ws/v5/public"
    assert okx.heartbeat.frame == b"ping"
    assert okx.heartbeat.every < 30
    assert not is_partial(_VENUE)


def test_one_request_a_topic_and_live_when_each_is_confirmed_in_any_order() -> None:
    session = _session()

    sent = [json.loads(frame) for frame in session.opened(0.0)]

    assert sent == [
        {"op": "subscribe", "args": [{"channel": "liquidation-orders", "instType": "SWAP"}]},
        {"op": "subscribe", "args": [{"channel": "liquidation-orders", "instType": "FUTURES"}]},
        {"op": "subscribe", "args": [{"channel": "trades", "instId": "BTC-USDT-SWAP"}]},
    ]
    for topic in ("trades:BTC-USDT-SWAP", "liquidation-orders:FUTURES"):
        session.received(_ack(topic), None, 1.0)
        session.received(_ack(topic), None, 1.0)  # a second confirmation of the same topic confirms no other
        assert not session.confirmed
    session.received(_ack("liquidation-orders:SWAP"), None, 1.0)
    assert session.confirmed
    assert session.refused == {}


@pytest.mark.parametrize(
    "text",
    ["Wrong URL or channel:liquidation-orders,instType:FUTURES doesn't exist.", "Some other text."],
    ids=["named in the text", "the only one unanswered"],
)
def test_a_refused_topic_is_named_and_the_others_live(text: str) -> None:
    session = _session()
    session.opened(0.0)
    for topic in ("liquidation-orders:SWAP", "trades:BTC-USDT-SWAP"):
        session.received(_ack(topic), None, 1.0)

    session.received(msgspec.json.encode({"event": "error", "code": "60018", "msg": text}), None, 1.0)

    assert session.confirmed
    assert session.refused == {"liquidation-orders:FUTURES": f"60018 {text}"}
    assert session.due(1.9) == []
    assert session.lacking == ["liquidation-orders:FUTURES"]
    assert [json.loads(frame)["args"] for frame in session.due(2.0)] == [
        [{"channel": "liquidation-orders", "instType": "FUTURES"}]
    ]


def test_all_topics_refused_end_the_session() -> None:
    session = _session()
    session.opened(0.0)
    for _ in range(3):
        session.received(b'{"event":"error","code":"60012","msg":"Invalid request"}', None, 1.0)

    with pytest.raises(SubscriptionRefused):
        session.due(1.0)


def test_a_topic_without_confirmation_stalls() -> None:
    session = _session()
    session.opened(0.0)
    session.received(_ack("liquidation-orders:SWAP"), None, 1.0)

    with pytest.raises(FeedStalled):
        session.due(10.0)


def test_a_notice_is_noticed_and_silence_stalls() -> None:
    session = _session()
    session.opened(0.0)
    for topic in session.endpoint.topics:
        session.received(_ack(topic), None, 0.0)
    session.received(_frames("control.jsonl")[2], None, 1.0)
    session.received(_frames("trades.jsonl")[0], None, 2.0)

    assert session.notice is not None
    assert session.due(16.0) == []
    with pytest.raises(FeedStalled):
        session.due(17.0)
    assert session.ledger.balanced()


def test_ping_every_25_seconds_however_busy() -> None:
    """Seen in a soak: the simulator hung up on a connection that was busy and never said anything."""
    session = Session(_VENUE, msgspec.structs.replace(okx.endpoints(())[0], silence_limit=1_000.0))
    session.opened(0.0)
    for topic in session.endpoint.topics:
        session.received(_ack(topic), None, 0.0)
    session.received(_frames("trades.jsonl")[0], None, 20.0)

    assert session.due(24.0) == []
    assert session.due(25.0) == [b"ping"]
    session.received(b"pong", None, 25.1)
    assert session.due(49.0) == []
    assert session.due(50.0) == [b"ping"]


def test_contracts_in_usd_um_are_sized_as_linear_ones() -> None:
    """Case c04: BTC-USD_UM is linear and BTC-USD inverse, of one underlying."""
    table = Instruments(lambda _, symbol: okx.parse_symbol(symbol))
    table.load(okx.decode_instruments((_FIXTURES / "um_instruments.json").read_bytes()).contracts)
    sized = []
    for line in (_FIXTURES / "um_frames.jsonl").read_bytes().splitlines():
        (raw,) = okx.decode(line, None)
        assert isinstance(raw, RawLiquidation)
        sized.append(table.sized(raw, ""))
    assert [event.notional_usd for event in sized] == [30_062.648, 1_200.0, 2_496.4]
    assert sized[0].quantity == 0.37
    assert len({event.instrument for event in sized}) == 3
