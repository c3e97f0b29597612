"""Hyperliquid: fills to liquidations, the watch list, the flow of a session."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape.errors import ConfigurationError, DecodeError, FeedStalled
from liqtape.events import Ack, Invalid, Pong, PriceTick, RawLiquidation, Rejected
from liqtape.identity import Identities, identity
from liqtape.instruments import Instruments
from liqtape.venues import hyperliquid
from liqtape.venues.base import Venue, WatchesAccounts, is_partial
from liqtape.venues.session import Session

_FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "hyperliquid"
_VENUE: Venue = hyperliquid
_WATCHED = "0x31ca8395cf837de08b24da3f660e77761dfb974b"
_VICTIM = "0x" + "aB" * 20
_FILL = {
    "coin": "BTC",
    "px": "80000.0",
    "sz": "0.5",
    "side": "B",
    "time": 1790000000000,
    "startPosition": "0.0",
    "dir": "Open Long",
    "closedPnl": "0.0",
    "hash": "0x01",
    "oid": 1,
    "crossed": False,
    "fee": "0.0",
    "tid": 101,
    "liquidation": {"liquidatedUser": _VICTIM, "markPx": "80001.0", "method": "market"},
    "feeToken": "USDC",
    "twapId": None,
}
_NEEDED = ["coin", "px", "sz", "side", "time", "tid"]


def _frames(name: str) -> list[bytes]:
    return (_FIXTURES / name).read_bytes().splitlines()


def _expected(name: str) -> list[dict[str, Any]]:
    return [json.loads(text) for text in _frames(f"{name}.expected.ndjson")]


def _fill(**changes: object) -> dict[str, Any]:
    return {**_FILL, **changes}


def _frame(*fills: dict[str, Any], user: str = _WATCHED) -> bytes:
    return msgspec.json.encode({"channel": "userFills", "data": {"user": user, "fills": fills}})


def _session() -> Session:
    return Session(_VENUE, hyperliquid.endpoints(())[0])


def _normalized(frames: list[bytes]) -> tuple[list[dict[str, Any]], Session, int]:
    session = _session()
    table = Instruments(lambda _, symbol: hyperliquid.parse_symbol(symbol))
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


def _only(events: list[Any]) -> RawLiquidation:
    (event,) = events
    assert isinstance(event, RawLiquidation)
    return event


def test_real_fills_of_rest_answers_give_what_was_worked_by_hand() -> None:
    events, session, repeats = _normalized(_frames("rest_fill_objects.jsonl"))

    assert events == _expected("rest_fill_objects")
    assert (session.ledger.frames_liquidation, repeats) == (2, 0)


def test_constructed_frames_give_what_was_worked_by_hand() -> None:
    events, session, repeats = _normalized(_frames("constructed.jsonl"))

    assert events == _expected("constructed")
    assert repeats == 1
    ledger = session.ledger
    assert (ledger.frames_liquidation, ledger.frames_other_topic, ledger.frames_undecodable) == (8, 1, 1)


def test_a_fill_without_the_liquidation_object_is_none() -> None:
    (frame,) = _frames("user_fills.jsonl")

    assert hyperliquid.decode(frame, None) == []


def test_trades_give_prices_and_no_liquidation_whatever_their_hash() -> None:
    (frame,) = _frames("trades.jsonl")

    assert hyperliquid.decode(frame, 7) == [
        PriceTick("hyperliquid", "BTC", 80639.0, 0.00022, 1788490042052, 7),
        PriceTick("hyperliquid", "BTC", 80640.0, 0.00404, 1788490042052, 7),
    ]


def test_control_frames() -> None:
    decoded = [hyperliquid.decode(frame, None) for frame in _frames("control.jsonl")]

    assert decoded == [
        [Ack(topic=f"userFills:{_WATCHED}")],
        [Ack(topic="trades:BTC")],
        [Ack(topic="unsubscribe bbo:BTC")],
        [Pong()],
        [Rejected(reason='Already unsubscribed: {"type":"trades","coin":"ETH"}', topic="trades:ETH")],
        [
            Rejected(
                reason="Error parsing JSON into valid websocket request: "
                '{"method": "subscribe", "subscription": {"type": "liquidations"}}',
                topic="liquidations:",
            )
        ],
    ]


def test_snapshots_and_rest_fills_are_marked_as_replayed_and_live_fills_are_not() -> None:
    live, _, _, snapshot, *_ = _frames("constructed.jsonl")

    assert _only(hyperliquid.decode(snapshot, None)).replayed
    assert all(_only(hyperliquid.decode(frame, None)).replayed for frame in _frames("rest_fill_objects.jsonl"))
    assert not _only(hyperliquid.decode(live, None)).replayed


def test_a_bad_fill_takes_nothing_from_the_mark_of_a_snapshot() -> None:
    data = {"isSnapshot": True, "user": _WATCHED, "fills": [_fill(px="much"), _fill()]}

    bad, good = hyperliquid.decode(msgspec.json.encode({"channel": "userFills", "data": data}), None)

    assert isinstance(bad, Invalid)
    assert isinstance(good, RawLiquidation)
    assert good.replayed


@pytest.mark.parametrize(
    ("user", "side", "direction", "closed"),
    [
        (_VICTIM.lower(), "A", "Close Long", "long"),
        (_VICTIM.upper().replace("X", "x"), "B", "Close Short", "short"),
        (_VICTIM, "A", "Open Short", "long"),  # the account decides, not `dir`
        (_WATCHED, "B", "Open Long", "long"),
        (_WATCHED, "A", "Open Short", "short"),
        (_WATCHED, "B", "Close Short", "long"),
        (_WATCHED, "A", "Close Long", "short"),
        (_WATCHED, "A", "Long > Short", "short"),
        (_WATCHED, "B", "", "long"),
        (_WATCHED, "A", "Liquidated Cross Long", "long"),
        (_WATCHED, "B", "Liquidated Isolated Short", "short"),
        (_VICTIM, "A", "Liquidated Cross Long", "long"),
        (_VICTIM, "B", "Liquidated Isolated Long", "long"),
        (_VICTIM, "A", "Liquidated Cross Short", "short"),
    ],
)
@pytest.mark.parametrize("crossed", [True, False])
def test_side_with_a_known_account(user: str, side: str, direction: str, closed: str, crossed: bool) -> None:
    event = _only(hyperliquid.decode(_frame(_fill(side=side, dir=direction, crossed=crossed), user=user), None))

    assert event.side == closed
    assert (event.price_kind, event.unit, event.native_id) == ("fill", "base", "101")


@pytest.mark.parametrize(
    ("side", "direction", "crossed", "closed"),
    [
        ("A", "Close Long", True, "long"),
        ("B", "Close Short", True, "short"),
        ("A", "Open Short", False, "short"),
        ("B", "Open Long", False, "long"),
        ("B", "Open Long", True, "long"),  # an opening taker cannot be the liquidated account
        ("A", "Open Short", True, "short"),
        ("B", "Close Short", False, "long"),  # nor can a maker
        ("A", "Close Long", False, "short"),
        ("A", "Liquidated Cross Long", False, "long"),
        ("B", "Liquidated Isolated Short", True, "short"),
    ],
)
@pytest.mark.parametrize("enveloped", [False, True], ids=["bare", "victim not named"])
def test_side_where_it_is_not_known_whose_fill_it_is(
    side: str, direction: str, crossed: bool, closed: str, enveloped: bool
) -> None:
    fill = _fill(side=side, dir=direction, crossed=crossed)
    if enveloped:
        fill["liquidation"] = {"markPx": "80001.0", "method": "market"}
    frame = _frame(fill) if enveloped else msgspec.json.encode(fill)

    assert _only(hyperliquid.decode(frame, None)).side == closed


@pytest.mark.parametrize(
    "changes",
    [
        {"side": "C"},
        {"side": ""},
        {"dir": "Liquidated Cross"},
        {"dir": "", "crossed": True},
        {"crossed": None, "dir": "x"},
    ],
    ids=str,
)
def test_a_side_that_cannot_be_told_is_invalid(changes: dict[str, object]) -> None:
    (event,) = hyperliquid.decode(msgspec.json.encode(_fill(**changes)), None)

    assert isinstance(event, Invalid)
    assert event.reason == "side"


@pytest.mark.parametrize("coin", ["@107", "PURR/USDC", "#12"])
def test_spot_and_outcomes_are_ignored(coin: str) -> None:
    assert hyperliquid.decode(_frame(_fill(coin=coin)), None) == []


@pytest.mark.parametrize("changes", [{"dir": "Auto-Deleveraging"}, {"liquidation": None}], ids=str)
def test_deleveraging_and_ordinary_fills_are_no_liquidations(changes: dict[str, object]) -> None:
    assert hyperliquid.decode(_frame(_fill(**changes)), None) == []
    assert hyperliquid.decode(msgspec.json.encode(_fill(**changes)), None) == []


def test_both_legs_of_a_trade_are_one_liquidation() -> None:
    maker = _only(hyperliquid.decode(_frame(_fill()), None))
    victim = _only(hyperliquid.decode(_frame(_fill(side="A", dir="Close Long", crossed=True), user=_VICTIM), None))

    assert (identity(maker), maker.side) == (identity(victim), victim.side)


@pytest.mark.parametrize("change", [{"tid": 102}, {"coin": "ETH"}, {"time": 1790000000001}], ids=str)
def test_time_coin_and_tid_are_the_identity(change: dict[str, Any]) -> None:
    one, other = hyperliquid.decode(_frame(_fill(), _fill(**change)), None)

    assert isinstance(one, RawLiquidation)
    assert isinstance(other, RawLiquidation)
    assert identity(one) != identity(other)


@pytest.mark.parametrize("field", _NEEDED)
def test_a_fill_without_a_needed_field_is_undecodable(field: str) -> None:
    fill = {key: value for key, value in _FILL.items() if key != field}

    with pytest.raises(DecodeError):
        hyperliquid.decode(_frame(_fill(), fill), None)
    with pytest.raises(DecodeError):
        hyperliquid.decode(msgspec.json.encode(fill), None)


def test_fills_that_do_not_name_their_account_are_undecodable() -> None:
    with pytest.raises(DecodeError):
        hyperliquid.decode(msgspec.json.encode({"channel": "userFills", "data": {"fills": [_FILL]}}), None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sz": "0.0"}, "size"),
        ({"px": "nan"}, "price"),
        ({"time": 1790000000}, "event time"),
        ({"coin": ""}, "symbol"),
    ],
    ids=str,
)
def test_an_impossible_value_is_invalid_and_the_good_fill_stands(change: dict[str, object], reason: str) -> None:
    bad, good = hyperliquid.decode(_frame(_fill(**change), _fill()), None)

    assert isinstance(bad, Invalid)
    assert bad.reason == reason
    assert isinstance(good, RawLiquidation)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"{}",
        b"[]",
        b"pong",
        b'{"channel":"userFills"}',
        b'{"channel":"userFills","data":{}}',
        b'{"channel":"subscriptionResponse","data":{}}',
        b'{"channel":"error","data":{}}',
        b'{"channel":"trades","data":[{}]}',
        b'{"channel":"user\xff"}',
        b'{"channel":"error","data":"\xff{"}',
        b'{"channel":"pong","x":' + b"[" * 100_000,
    ],
    ids=range(12),
)
def test_what_is_not_documented_is_a_decode_error(frame: bytes) -> None:
    with pytest.raises(DecodeError):
        hyperliquid.decode(frame, None)


@pytest.mark.parametrize(
    "text",
    ["", "{", "Cannot track more than 10 total users.", 'x {"type":1}', "{\U0001f600}", '{"a":' * 2_000],
    ids=range(6),
)
def test_an_error_that_repeats_no_request_names_no_topic(text: str) -> None:
    frame = json.dumps({"channel": "error", "data": text}).encode()

    assert hyperliquid.decode(frame, None) == [Rejected(reason=text[:500])]


def _reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _reordered(value[key]) for key in reversed(value)}
    return [_reordered(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", ["rest_fill_objects", "trades", "user_fills", "control"])
def test_the_order_of_keys_does_not_matter(name: str) -> None:
    for frame in _frames(f"{name}.jsonl"):
        turned = msgspec.json.encode(_reordered(json.loads(frame)))
        assert hyperliquid.decode(turned, None) == hyperliquid.decode(frame, None)


_VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)


@given(st.binary(max_size=200))
def test_any_bytes_are_events_or_a_decode_error(payload: bytes) -> None:
    for frame in (
        payload,
        b'{"channel":"userFills","data":' + payload,
        b'{"channel":"error","data":"' + payload + b'"}',
    ):
        try:
            events = hyperliquid.decode(frame, None)
        except DecodeError:
            continue
        assert isinstance(events, list)


@given(st.dictionaries(st.sampled_from(sorted(_FILL)), _VALUES, max_size=3), st.sampled_from([None, *_NEEDED]))
def test_any_values_are_events_or_a_decode_error(changes: dict[str, Any], missing: str | None) -> None:
    fill = {key: value for key, value in {**_FILL, **changes}.items() if key != missing}
    try:
        events = hyperliquid.decode(_frame(_FILL, fill), 1)
    except DecodeError:
        assert missing is not None
        return
    assert missing is None
    assert all(isinstance(event, RawLiquidation | Invalid) for event in events)
    assert 1 <= len(events) <= 2


@pytest.mark.parametrize(
    ("symbol", "instrument", "factor"),
    [
        ("BTC", "BTCUSDC", 1),
        ("kPEPE", "PEPEUSDC", 1000),
        ("kBONK", "BONKUSDC", 1000),
        ("KAS", "KASUSDC", 1),
        ("xyz:SILVER", "xyz:SILVERUSDC", 1),
    ],
)
def test_spelling(symbol: str, instrument: str, factor: int) -> None:
    c = hyperliquid.parse_symbol(symbol)

    assert (c.venue, c.symbol, c.instrument) == ("hyperliquid", symbol, instrument)
    assert (c.inverse, c.unit_value, c.factor) == (False, "1", factor)


@pytest.mark.parametrize("listed", [False, True], ids=["one exchange", "several"])
def test_meta_lists_the_coins_that_trade(listed: bool) -> None:
    meta = b'{"universe":[{"szDecimals":5,"name":"BTC","maxLeverage":40},{"name":"MATIC","isDelisted":true}]}'

    page = hyperliquid.decode_instruments(b"[" + meta + b"]" if listed else meta)

    assert [contract.instrument for contract in page.contracts] == ["BTCUSDC"]
    assert page.next_query == ""


@pytest.mark.parametrize("payload", [b"", b"null", b"{}", b"\xff", b"[" * 100_000])
def test_an_answer_without_coins_is_a_decode_error(payload: bytes) -> None:
    with pytest.raises(DecodeError):
        hyperliquid.decode_instruments(payload)


def test_it_says_that_it_is_partial_and_how_it_is_asked() -> None:
    (source,) = hyperliquid.instrument_sources

    assert isinstance(_VENUE, WatchesAccounts)
    assert is_partial(_VENUE)
    assert (source.host + source.path, source.body) == ("https://api.hyperliquid.xyz/info", b'{"type":"meta"}')


def test_the_default_watch_list_leaves_room_for_makers() -> None:
    (endpoint,) = hyperliquid.endpoints(["BTC"])

    assert endpoint.url == "wss://api.hyperliquid.xyz/ws"
    assert endpoint.topics == ("trades:BTC", *(f"userFills:{account}" for account in hyperliquid.watch_list))
    assert len(set(hyperliquid.watch_list)) == 6


def test_watched_accounts_are_spelled_in_lower_case_and_watched_once() -> None:
    (endpoint,) = hyperliquid.watching([_VICTIM, _VICTIM.lower()])

    assert endpoint.topics == ("trades:BTC", f"userFills:{_VICTIM.lower()}")


@pytest.mark.parametrize(
    "accounts", [["0x12"], ["BTC"], [""], [f"0x{number:040x}" for number in range(11)]], ids=lambda a: str(len(a))
)
def test_accounts_that_cannot_be_watched_are_refused(accounts: list[str]) -> None:
    with pytest.raises(ConfigurationError):
        hyperliquid.watching(accounts)


def _confirmation(request: bytes) -> bytes:
    return msgspec.json.encode({"channel": "subscriptionResponse", "data": json.loads(request)})


def test_one_subscription_a_message() -> None:
    (first, second, *_) = hyperliquid.endpoints(())[0].topics

    assert json.loads(hyperliquid.subscribe("1", [first])) == {
        "method": "subscribe",
        "subscription": {"type": "trades", "coin": "BTC"},
    }
    assert json.loads(hyperliquid.subscribe("1", [second])) == {
        "method": "subscribe",
        "subscription": {"type": "userFills", "user": hyperliquid.watch_list[0], "aggregateByTime": False},
    }
    assert hyperliquid.topics_per_request == 1


def test_live_when_every_topic_is_confirmed_or_refused_in_any_order() -> None:
    session = _session()
    requests = session.opened(0.0)[::-1]
    refused = json.loads(requests[0])["subscription"]
    text = "Error parsing JSON into valid websocket request: " + requests[0].decode()
    session.received(_frames("user_fills.jsonl")[0], None, 0.5)  # a snapshot may come before the other confirmations

    session.received(msgspec.json.encode({"channel": "error", "data": text}), None, 1.0)
    waiting = requests[1:] + session.take_outgoing()
    answered = 1
    while waiting:
        assert not session.confirmed
        session.received(_confirmation(waiting.pop()), None, 1.0)
        waiting = session.take_outgoing() + waiting
        answered += 1

    assert answered == 7
    assert session.confirmed
    assert session.refused == {f"userFills:{refused['user']}": text}


def test_too_many_accounts_are_refused_one_by_one_and_the_rest_lives() -> None:
    session = _session()
    session.opened(0.0)
    answers = 0
    while not session.confirmed:
        answers += 1
        pending = next(iter(session._in_flight.values())).topics[0]
        if answers <= 5:
            session.received(_confirmation(hyperliquid.subscribe("", [pending])), None, 1.0)
        else:
            session.received(b'{"channel":"error","data":"Cannot track more than 10 total users."}', None, 1.0)

    assert answers == 7
    assert list(session.refused) == [f"userFills:{account}" for account in hyperliquid.watch_list[4:]]


def test_answers_that_concern_no_request_of_ours_change_nothing() -> None:
    session = _session()
    session.opened(0.0)

    for frame in _frames("control.jsonl")[2:]:
        session.received(frame, None, 1.0)

    assert not session.confirmed
    assert session.refused == {}
    assert session.outgoing == []
    with pytest.raises(FeedStalled):
        session.due(10.0)


def test_ping_only_after_50_idle_seconds() -> None:
    session = Session(_VENUE, msgspec.structs.replace(hyperliquid.watching(())[0], silence_limit=1_000.0))
    (request,) = session.opened(0.0)
    session.received(_confirmation(request), None, 20.0)

    assert session.confirmed
    assert session.due(69.0) == []
    assert session.due(70.0) == [b'{"method":"ping"}']


def test_silence_of_the_trades_stalls() -> None:
    session = Session(_VENUE, hyperliquid.watching(())[0])
    (request,) = session.opened(0.0)
    session.received(_confirmation(request), None, 1.0)
    session.received(b'{"channel":"pong"}', None, 30.0)

    assert session.due(30.5) == []
    with pytest.raises(FeedStalled):
        session.due(31.0)


@pytest.mark.parametrize("tid", ["-1", "9" * 30, "9" * 4_000])
def test_a_trade_id_that_no_venue_has_is_invalid(tid: str) -> None:
    """It is part of the identity, which is kept with the event."""
    fill = (
        '{"coin":"BTC","px":"2","sz":"1","side":"A","time":1790000000000,"dir":"Close Long","crossed":true,'
        f'"tid":{tid},"liquidation":{{"liquidatedUser":"0xa"}}}}'
    )
    frame = f'{{"channel":"userFills","data":{{"user":"0xb","fills":[{fill}]}}}}'
    (event,) = hyperliquid.decode(frame.encode(), None)

    assert isinstance(event, Invalid)
    assert event.reason == "tid"
