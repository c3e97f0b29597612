import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from liqtape.simulator import bybit
from liqtape.simulator.generator import Side, TrueLiquidation
from liqtape.simulator.listings import LISTINGS, listing
from liqtape.simulator.wire import Arrival, ClientSession, Frame, ServerLimits

T0 = 1_795_000_000_000


def arrival(
    at_ms: int, symbol: str = "BTCUSDT", side: Side = "long", limit: str = "83000.00", serial: int = 1
) -> Arrival:
    liquidation = TrueLiquidation(serial, at_ms, listing("bybit", symbol), side, "84000.10", limit, "0.010")
    return Arrival(liquidation, T0 + at_ms, T0 + at_ms)


def printed(frame: Frame) -> Any:
    return json.loads(frame.body)


def talk(category: str = "linear", limits: ServerLimits | None = None) -> ClientSession:
    session = bybit.converse(f"v5/public/{category}", {}, 1, limits or ServerLimits())
    assert session is not None
    return session


def answer(session: ClientSession, request: object) -> Any:
    text = request if isinstance(request, str) else json.dumps(request)
    (frame,) = session.received(text, T0).frames
    return json.loads(frame)


def subscribe(*topics: str, req_id: str = "1") -> dict[str, object]:
    return {"op": "subscribe", "req_id": req_id, "args": list(topics)}


def test_liquidations_have_the_keys_and_types_of_real_frames(
    real_frames: Callable[[str], list[Any]], shape: Callable[[Any], Any]
) -> None:
    publisher = bybit.publisher(1, ServerLimits())
    publisher.add(arrival(0))

    (frame,) = publisher.flush()

    for real in real_frames("bybit")[:6]:
        assert shape(printed(frame)) == shape(real)


@pytest.mark.parametrize("place", [0, 1], ids=["BTCUSDT", "BTCUSD"])
def test_trades_have_the_keys_and_types_of_real_frames(
    place: int, real_frames: Callable[[str], list[Any]], shape: Callable[[Any], Any]
) -> None:
    frame = bybit.publisher(1, ServerLimits()).trades(T0, lambda item: item.price)[place]
    real = real_frames("bybit")[6 + place]

    assert printed(frame)["topic"] == real["topic"]
    assert shape(printed(frame)) == shape(real)


def test_controls_have_the_keys_of_real_frames(real_frames: Callable[[str], list[Any]]) -> None:
    acknowledged, refused, pong = real_frames("bybit")[8:11]
    session = talk()

    assert list(answer(session, subscribe("allLiquidation.BTCUSDT"))) == list(acknowledged)
    assert list(answer(session, {"op": "subscribe", "args": ["no.such"]})) == list(refused)
    assert list(answer(session, {"op": "ping"})) == list(pong)


@pytest.mark.parametrize(("side", "position"), [("long", "Buy"), ("short", "Sell")])
def test_side_is_that_of_the_position(side: Side, position: str) -> None:
    publisher = bybit.publisher(1, ServerLimits())
    publisher.add(arrival(0, side=side))

    (frame,) = publisher.flush()
    assert printed(frame)["data"][0]["S"] == position
    assert frame.rows[0].side == side


def test_all_liquidations_of_a_batch_are_sent_together_within_500_ms() -> None:
    publisher = bybit.publisher(1, ServerLimits())
    for serial in range(1, 6):
        publisher.add(arrival(0, limit=f"8300{serial}.00", serial=serial))

    (frame,) = publisher.due(T0 + 500)

    assert [row.serial for row in frame.rows] == [1, 2, 3, 4, 5]
    assert [row["p"] for row in printed(frame)["data"]] == [f"8300{n}.00" for n in range(1, 6)]
    assert T0 < printed(frame)["ts"] <= T0 + 500


def test_no_liquidation_is_lost_or_sent_before_it_happened() -> None:
    publisher = bybit.publisher(1, ServerLimits())
    frames = []
    for serial, at_ms in enumerate(range(0, 5_000, 37), start=1):
        publisher.add(arrival(at_ms, serial=serial))
        frames += publisher.due(T0 + at_ms)
    frames += publisher.flush()

    assert [row.serial for frame in frames for row in frame.rows] == list(range(1, serial + 1))
    pushed = [printed(frame)["ts"] for frame in frames]
    assert all(later - earlier >= 500 for earlier, later in pairwise(pushed))
    assert all(row.event_ms < printed(frame)["ts"] for frame in frames for row in frame.rows)


def test_a_block_is_spread_over_frames_of_a_hundred_rows() -> None:
    publisher = bybit.publisher(1, ServerLimits())
    for serial in range(1, 1_001):
        publisher.add(arrival(0, limit=f"{80_000 + serial}.00", serial=serial))

    frames = publisher.due(T0 + 500)

    assert [len(frame.rows) for frame in frames] == [100] * 10


def test_equal_rows_stay_in_one_frame() -> None:
    # Only there does the receiver know them for two liquidations and not for a repetition.
    publisher = bybit.publisher(1, ServerLimits(bybit_rows=3))
    for serial, limit in enumerate(("1.00", "2.00", "3.00", "4.00", "1.00", "2.00"), start=1):
        publisher.add(arrival(0, limit=limit, serial=serial))

    frames = publisher.flush()

    assert [[row.price for row in frame.rows] for frame in frames] == [
        ["1.00", "1.00"],
        ["2.00", "2.00", "3.00"],
        ["4.00"],
    ]


def test_followed_topics_are_sent_and_others_not() -> None:
    session = talk()
    answer(session, subscribe("allLiquidation.BTCUSDT"))
    publisher = bybit.publisher(1, ServerLimits())
    publisher.add(arrival(0, "BTCUSDT"))
    publisher.add(arrival(0, "ETHUSDT"))

    sent = [payload for frame in publisher.flush() for payload in session.payloads(frame)]

    assert [json.loads(payload)["topic"] for payload in sent] == ["allLiquidation.BTCUSDT"]
    assert session.follows_liquidations


def test_one_unknown_symbol_refuses_the_whole_request() -> None:
    session = talk()

    refusal = answer(session, subscribe("allLiquidation.BTCUSDT", "allLiquidation.NOSUCHUSDT", req_id="7"))

    assert (refusal["success"], refusal["req_id"]) == (False, "7")
    assert refusal["ret_msg"] == "Invalid topic: allLiquidation.NOSUCHUSDT"
    assert not session.follows_liquidations


@pytest.mark.parametrize(
    ("category", "topic"),
    [
        ("linear", "liquidation.BTCUSDT"),
        ("inverse", "liquidation.BTCUSD"),
        ("linear", "allLiquidation.BTCUSD"),
        ("inverse", "allLiquidation.BTCUSDT"),
        ("linear", "allLiquidation.*"),
    ],
)
def test_retired_wildcard_and_foreign_topics_are_refused(category: str, topic: str) -> None:
    assert answer(talk(category), subscribe(topic))["ret_msg"] == f"Invalid topic: {topic}"


@pytest.mark.parametrize("category", ["linear", "inverse"])
def test_every_listed_symbol_can_be_followed(category: str) -> None:
    topics = [f"allLiquidation.{item.symbol}" for item in LISTINGS if item.venue == "bybit" and item.kind == category]

    assert answer(talk(category), subscribe(*topics))["success"]


def test_args_beyond_the_limit_of_the_connection_are_refused() -> None:
    session = talk(limits=ServerLimits(bybit_args_characters=50))

    assert answer(session, subscribe("allLiquidation.BTCUSDT", "allLiquidation.ETHUSDT"))["success"]
    assert not answer(session, subscribe("allLiquidation.SOLUSDT"))["success"]
    assert answer(session, subscribe("allLiquidation.ETHUSDT"))["success"]


def test_unsubscribed_topic_stops() -> None:
    session = talk()
    answer(session, subscribe("allLiquidation.BTCUSDT"))

    reply = answer(session, {"op": "unsubscribe", "req_id": "2", "args": ["allLiquidation.BTCUSDT"]})

    assert (reply["op"], reply["success"]) == ("unsubscribe", True)
    assert not session.follows_liquidations


@pytest.mark.parametrize(("req_id", "echoed"), [(None, ""), ("beat", "beat"), (7, "7"), (0, "0")])
def test_ping_is_answered_with_pong(req_id: str | int | None, echoed: str) -> None:
    request = {"op": "ping"} | ({} if req_id is None else {"req_id": req_id})
    reply = answer(talk(), request)

    assert (reply["success"], reply["ret_msg"], reply["req_id"], reply["op"]) == (True, "pong", echoed, "ping")


@pytest.mark.parametrize("text", ["", "ping", "[]", '{"op":1}', '{"op":"subscribe","args":"x"}', '{"op":"dance"}'])
def test_bad_requests_are_answered_without_success(text: str) -> None:
    assert answer(talk(), text)["success"] is False


@pytest.mark.parametrize("path", ["", "v5/public/spot", "v5/private", "realtime", "v5/public/linear/x"])
def test_other_paths_lead_nowhere(path: str) -> None:
    assert bybit.converse(path, {}, 1, ServerLimits()) is None
