import json
from collections.abc import Callable
from typing import Any

import pytest

from liqtape.simulator import okx
from liqtape.simulator.faults import Faults
from liqtape.simulator.generator import Side, TrueLiquidation
from liqtape.simulator.listings import LISTINGS, listing
from liqtape.simulator.wire import Arrival, ClientSession, Frame, ServerLimits

T0 = 1_795_000_000_000
PATH = "ws/v5/public"


def arrival(
    at_ms: int, symbol: str = "BTC-USDT-SWAP", side: Side = "long", size: str = "2.50", serial: int = 1
) -> Arrival:
    true = TrueLiquidation(serial, at_ms, listing("okx", symbol), side, "84000.1", "83000.0", size)
    return Arrival(true, T0 + at_ms, T0 + at_ms)


def printed(frame: Frame) -> Any:
    return json.loads(frame.body)


def details(*frames: Frame) -> list[Any]:
    return [detail for frame in frames for entry in printed(frame)["data"] for detail in entry["details"]]


def talk() -> ClientSession:
    session = okx.publisher(1, ServerLimits()).converse(PATH, {}, 1)
    assert session is not None
    return session


def answers(session: ClientSession, request: object) -> list[Any]:
    return [json.loads(frame) for frame in session.received(json.dumps(request), T0).frames]


def subscribe(*args: dict[str, str], op: str = "subscribe") -> dict[str, object]:
    return {"op": op, "args": list(args)}


LIQUIDATIONS = {"channel": "liquidation-orders", "instType": "SWAP"}
TRADES = {"channel": "trades", "instId": "BTC-USDT-SWAP"}


def test_liquidations_have_the_keys_and_types_of_real_frames(
    real_frames: Callable[[str], list[Any]], shape: Callable[[Any], Any]
) -> None:
    publisher = okx.publisher(1, ServerLimits())
    publisher.add(arrival(0))

    (frame,) = publisher.flush()

    for real in real_frames("okx")[:4]:
        assert shape(printed(frame)) == shape(real)


def test_trades_have_the_keys_and_types_of_the_real_frame(
    real_frames: Callable[[str], list[Any]], shape: Callable[[Any], Any]
) -> None:
    (frame,) = okx.publisher(1, ServerLimits()).trades(T0, lambda item: item.price)
    real = real_frames("okx")[4]

    assert printed(frame)["arg"] == real["arg"]
    assert shape(printed(frame)) == shape(real)


def test_controls_are_answered_as_in_real_frames(real_frames: Callable[[str], list[Any]]) -> None:
    session = talk()
    by_contract = {"channel": "liquidation-orders", "instType": "SWAP", "instId": "BTC-USDT-SWAP"}
    notice = session.notice()
    assert notice is not None
    ours = [*answers(session, subscribe(LIQUIDATIONS, by_contract)), json.loads(notice)]

    for mine, real in zip(ours, real_frames("okx")[5:8], strict=True):
        assert list(mine) == list(real)
        assert mine | {"connId": ""} == real | {"connId": ""}


@pytest.mark.parametrize(("side", "order"), [("long", "sell"), ("short", "buy")])
def test_side_is_that_of_the_order_and_the_position_is_named_or_net(side: Side, order: str) -> None:
    publisher = okx.publisher(1, ServerLimits())
    for serial in range(200):
        publisher.add(arrival(2_000 * serial, side=side, serial=serial))

    frames = publisher.flush()

    assert {detail["side"] for detail in details(*frames)} == {order}
    assert {detail["posSide"] for detail in details(*frames)} == {side, "net"}
    assert {row.side for frame in frames for row in frame.rows} == {side}


def test_row_of_the_ledger_has_the_strings_of_the_wire() -> None:
    publisher = okx.publisher(1, ServerLimits())
    publisher.add(arrival(5, size="12.30"))

    (frame,) = publisher.flush()

    (detail,), (row,) = details(frame), frame.rows
    assert (detail["sz"], detail["bkPx"], detail["ts"]) == ("12.3", "83000", str(T0 + 5))
    assert (row.size, row.price, row.event_ms) == ("12.3", "83000", T0 + 5)


def test_a_push_bundles_contracts_and_seconds_by_kind() -> None:
    publisher = okx.publisher(1, ServerLimits())
    for serial, (at_ms, symbol) in enumerate(
        [(0, "BTC-USDT-SWAP"), (1_000, "BTC-USDT-SWAP"), (0, "ETH-USDT-SWAP"), (0, "BTC-USD-261225")], start=1
    ):
        publisher.add(arrival(at_ms, symbol, serial=serial))

    swaps, dated = publisher.flush()

    assert [(entry["instId"], len(entry["details"])) for entry in printed(swaps)["data"]] == [
        ("BTC-USDT-SWAP", 2),
        ("ETH-USDT-SWAP", 1),
    ]
    assert printed(dated)["arg"]["instType"] == printed(dated)["data"][0]["instType"] == "FUTURES"
    assert printed(dated)["data"][0]["instFamily"] == printed(dated)["data"][0]["uly"] == "BTC-USD"
    assert [row.serial for row in swaps.rows] == [1, 2, 3]


def test_at_most_one_of_a_contract_and_second_is_printed() -> None:
    publisher = okx.publisher(1, ServerLimits())
    for serial, at_ms in enumerate((0, 900, 1_000, 1_899, 1_900), start=1):
        publisher.add(arrival(at_ms, serial=serial))

    assert [row.serial for frame in publisher.flush() for row in frame.rows] == [2, 5]


def test_pushes_are_sometimes_kept_back_for_seconds_and_nothing_is_lost() -> None:
    publisher = okx.publisher(1, ServerLimits())
    frames: list[Frame] = []
    for step in range(1_000):
        publisher.add(arrival(100 * step, "BTC-USDT-SWAP" if step % 2 else "ETH-USDT-SWAP", serial=step))
        frames += publisher.due(T0 + 100 * step)

    sizes = [len(entry["details"]) for frame in frames for entry in printed(frame)["data"]]
    assert {1, 3} <= set(sizes) <= {1, 2, 3, 4}
    assert {len(printed(frame)["data"]) for frame in frames} == {1, 2}
    assert sum(sizes) > 180


def test_ping_is_answered_with_text() -> None:
    assert talk().received("ping", T0).frames == [b"pong"]


def test_family_is_dropped_in_silence() -> None:
    session = talk()

    assert answers(session, subscribe(LIQUIDATIONS | {"instFamily": "BTC-USDT"}))[0]["arg"] == LIQUIDATIONS
    assert session.follows_liquidations


@pytest.mark.parametrize(
    "arg",
    [
        {"channel": "liquidation-orders", "instType": "SWAP", "instId": "BTC-USDT-SWAP"},
        {"channel": "liquidation-orders"},
        {"channel": "liquidation-orders", "instType": "SPOT"},
        {"channel": "liquidations", "instType": "SWAP"},
        {"channel": "trades", "instId": "NOSUCH-USDT-SWAP"},
        {},
    ],
)
def test_what_does_not_exist_is_refused_and_the_rest_of_the_request_served(arg: dict[str, str]) -> None:
    session = talk()

    refused, served = answers(session, subscribe(arg, TRADES))

    assert (refused["event"], refused["code"]) == ("error", "60018")
    assert (served["event"], served["arg"]) == ("subscribe", TRADES)
    assert not session.follows_liquidations


@pytest.mark.parametrize("kind", ["SWAP", "FUTURES", "MARGIN", "OPTION"])
def test_kinds_are_followed_each_by_itself(kind: str) -> None:
    session = talk()
    answers(session, subscribe({"channel": "liquidation-orders", "instType": kind}))
    publisher = okx.publisher(1, ServerLimits())
    for symbol in ("BTC-USDT-SWAP", "BTC-USD-261225"):
        publisher.add(arrival(0, symbol))

    sent = [json.loads(payload) for frame in publisher.flush() for payload in session.payloads(frame)]

    assert [message["arg"]["instType"] for message in sent] == ([kind] if kind in ("SWAP", "FUTURES") else [])


def test_unsubscribed_channel_stops_and_an_id_is_echoed() -> None:
    session = talk()
    answers(session, subscribe(LIQUIDATIONS))

    (answer,) = answers(session, subscribe(LIQUIDATIONS, op="unsubscribe") | {"id": "7"})

    assert list(answer) == ["id", "event", "arg", "connId"]
    assert (answer["id"], answer["event"]) == ("7", "unsubscribe")
    assert not session.follows_liquidations


@pytest.mark.parametrize("text", ["", "pong", "[]", '{"op":"subscribe"}', '{"op":"subscribe","args":[]}',
                                  '{"op":"dance","args":[{"channel":"trades"}]}'])  # fmt: skip
def test_bad_requests_are_errors(text: str) -> None:
    (frame,) = talk().received(text, T0).frames

    assert (json.loads(frame)["event"], json.loads(frame)["code"]) == ("error", "60012")


@pytest.mark.parametrize("named", [True, False])
def test_last_message_comes_again_where_the_fault_is_named(named: bool) -> None:
    publisher = okx.publisher(1, ServerLimits(), Faults(("first_again",) if named else (), 1, "okx"))
    publisher.add(arrival(0))
    (frame,) = publisher.flush()
    session = publisher.converse(PATH, {}, 1)
    assert session is not None

    reply = session.received(json.dumps(subscribe(LIQUIDATIONS, TRADES)), T0)

    assert list(reply.more) == ([frame] if named else [])


@pytest.mark.parametrize("path", ["", "ws/v5/private", "ws/v5/public/x", "v5/public"])
def test_other_paths_lead_nowhere(path: str) -> None:
    assert okx.publisher(1, ServerLimits()).converse(path, {}, 1) is None


def test_sizes_are_contracts() -> None:
    sizes = {item.symbol: item.size_text(8_400, item.price) for item in LISTINGS if item.venue == "okx"}

    assert sizes["BTC-USDT-SWAP"] == "10.00"  # of 0.01 BTC
    assert sizes["BTC-USD-SWAP"] == "84"  # of 100 USD
    assert sizes["DOGE-USDT-SWAP"] == "65.47"  # of 1000 DOGE
