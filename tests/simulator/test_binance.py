import json
from collections.abc import Callable
from typing import Any

import pytest

from liqtape.simulator import binance
from liqtape.simulator.generator import Side, TrueLiquidation
from liqtape.simulator.listings import listing
from liqtape.simulator.wire import Arrival, ClientSession, Frame, ServerLimits

T0 = 1_795_000_000_000


def arrival(
    at_ms: int, symbol: str = "BTCUSDT", side: Side = "long", size: str = "0.010", serial: int = 1, late_ms: int = 0
) -> Arrival:
    liquidation = TrueLiquidation(serial, at_ms, listing("binance", symbol), side, "84000.10", "83000.00", size)
    return Arrival(liquidation, T0 + at_ms, T0 + at_ms + late_ms)


def printed(frame: Frame) -> Any:
    return json.loads(frame.body)


def talk(path: str, query: dict[str, str] | None = None) -> ClientSession:
    session = binance.converse(path, query or {}, 1, ServerLimits())
    assert session is not None
    return session


def answers(session: ClientSession, text: str, now_ms: int = T0) -> list[Any]:
    return [json.loads(frame) for frame in session.received(text, now_ms).frames]


def test_force_order_has_the_keys_and_types_of_real_frames(
    real_frames: Callable[[str], list[Any]], shape: Callable[[Any], Any]
) -> None:
    publisher = binance.publisher(1, ServerLimits())
    publisher.add(arrival(0))

    (frame,) = publisher.flush()

    for real in real_frames("binance")[:5]:
        assert shape(printed(frame)) == shape(real.get("data", real))


def test_agg_trade_has_the_keys_and_types_of_real_frames(
    real_frames: Callable[[str], list[Any]], shape: Callable[[Any], Any]
) -> None:
    (frame,) = binance.publisher(1, ServerLimits()).trades(T0, lambda item: item.price)

    assert shape(printed(frame)) == shape(real_frames("binance")[5]["data"])


def test_controls_are_answered_as_in_real_frames(real_frames: Callable[[str], list[Any]]) -> None:
    session = talk("market/ws")
    replies = [
        *answers(session, '{"method":"SUBSCRIBE","params":["!forceOrder@arr"],"id":1}'),
        *answers(session, '{"method":"LIST_SUBSCRIPTIONS","id":1}'),
        *answers(session, '{"method":"LIST_SUBSCRIPTIONS","id":1}'),
    ]

    assert [list(reply.items()) for reply in replies] == [list(real.items()) for real in real_frames("binance")[7:10]]


def test_only_the_newest_of_a_second_is_sent_a_second_after_it() -> None:
    publisher = binance.publisher(1, ServerLimits())
    for serial, at_ms in enumerate((0, 400, 999), start=1):
        publisher.add(arrival(at_ms, serial=serial))

    assert publisher.due(T0 + 1_998) == []
    (frame,) = publisher.due(T0 + 1_999)

    assert [row.serial for row in frame.rows] == [3]
    assert (printed(frame)["E"], printed(frame)["o"]["T"]) == (T0 + 1_999, T0 + 999)


def test_a_single_liquidation_is_pushed_a_second_after_it_happened() -> None:
    publisher = binance.publisher(1, ServerLimits())
    publisher.add(arrival(250))

    (frame,) = publisher.due(T0 + 2_000)

    assert printed(frame)["E"] - printed(frame)["o"]["T"] == 1_000


def test_a_liquidation_within_a_second_of_the_one_sent_is_lost() -> None:
    publisher = binance.publisher(1, ServerLimits())
    for serial, at_ms in enumerate((500, 1_499, 2_500), start=1):
        publisher.add(arrival(at_ms, serial=serial))

    assert [[row.serial for row in frame.rows] for frame in publisher.due(T0 + 4_000)] == [[1], [3]]


def test_symbols_are_throttled_each_by_itself() -> None:
    publisher = binance.publisher(1, ServerLimits())
    publisher.add(arrival(0, "BTCUSDT"))
    publisher.add(arrival(1, "ETHUSDT"))

    assert [printed(frame)["o"]["s"] for frame in publisher.due(T0 + 1_001)] == ["BTCUSDT", "ETHUSDT"]


@pytest.mark.parametrize(("side", "order"), [("long", "SELL"), ("short", "BUY")])
def test_side_is_that_of_the_order(side: Side, order: str) -> None:
    publisher = binance.publisher(1, ServerLimits())
    publisher.add(arrival(0, side=side))

    (frame,) = publisher.flush()
    assert printed(frame)["o"]["S"] == order
    assert frame.rows[0].side == side


def test_coin_margined_row_counts_contracts_and_says_so() -> None:
    publisher = binance.publisher(1, ServerLimits())
    publisher.add(arrival(0, "BTCUSD_PERP", size="10"))

    (frame,) = publisher.flush()

    order = printed(frame)["o"]
    assert (order["s"], order["ps"], order["st"], order["q"], order["z"]) == ("BTCUSD_PERP", "BTCUSD", 2, "10", "10")
    assert frame.topics == ("!forceOrder@arr", "btcusd_perp@forceOrder")


def test_dated_contract_names_its_pair() -> None:
    publisher = binance.publisher(1, ServerLimits())
    publisher.add(arrival(0, "BTCUSDT_261225"))

    (frame,) = publisher.flush()
    assert (printed(frame)["o"]["s"], printed(frame)["o"]["ps"]) == ("BTCUSDT_261225", "BTCUSDT")


def liquidation_frame(symbol: str = "BTCUSDT") -> Frame:
    publisher = binance.publisher(1, ServerLimits())
    publisher.add(arrival(0, symbol))
    return publisher.flush()[0]


@pytest.mark.parametrize(
    ("path", "query", "streams"),
    [
        ("market/ws/!forceOrder@arr", {}, [None]),
        ("market/ws/btcusdt@forceOrder", {}, [None]),
        ("market/ws/btcusdt@aggTrade/!forceOrder@arr", {}, [None]),
        ("market/ws/ethusdt@forceOrder", {}, []),
        ("market/ws/BTCUSDT@forceOrder", {}, []),
        ("market/stream", {"streams": "!forceOrder@arr/btcusdt@aggTrade"}, ["!forceOrder@arr"]),
        ("market/stream", {"streams": "btcusdt@forceOrder/!forceOrder@arr"}, ["!forceOrder@arr", "btcusdt@forceOrder"]),
        ("ws/!forceOrder@arr", {}, []),
        ("stream", {"streams": "!forceOrder@arr"}, []),
        ("public/ws/!forceOrder@arr", {}, []),
        ("public/stream", {"streams": "!forceOrder@arr"}, []),
    ],
)
def test_path_decides_what_is_sent_and_how_it_is_wrapped(
    path: str, query: dict[str, str], streams: list[str | None]
) -> None:
    messages = [json.loads(payload) for payload in talk(path, query).payloads(liquidation_frame())]

    assert [message.get("stream") for message in messages] == streams
    assert all(message.get("data", message)["e"] == "forceOrder" for message in messages)


@pytest.mark.parametrize("path", ["", "market", "market/wss", "private/ws", "market/stream/x"])
def test_other_paths_lead_nowhere(path: str) -> None:
    assert binance.converse(path, {}, 1, ServerLimits()) is None


def test_symbol_outside_ascii_has_its_own_stream() -> None:
    assert len(talk("market/ws/牛来usdt@forceOrder").payloads(liquidation_frame("牛来USDT"))) == 1


def test_a_stream_that_does_not_exist_is_acknowledged_and_silent() -> None:
    session = talk("market/ws")

    assert answers(session, '{"method":"SUBSCRIBE","params":["nosuch@forceOrder"],"id":5}') == [
        {"result": None, "id": 5}
    ]
    assert not session.follows_liquidations
    assert answers(session, '{"method":"LIST_SUBSCRIPTIONS","id":6}') == [{"result": ["nosuch@forceOrder"], "id": 6}]


def test_retired_path_acknowledges_and_lists_what_it_never_sends() -> None:
    session = talk("ws")

    assert answers(session, '{"method":"SUBSCRIBE","params":["!forceOrder@arr"],"id":1}') == [{"result": None, "id": 1}]
    assert answers(session, '{"method":"LIST_SUBSCRIPTIONS","id":2}') == [{"result": ["!forceOrder@arr"], "id": 2}]
    assert session.payloads(liquidation_frame()) == []
    assert not session.follows_liquidations


def test_unsubscribed_stream_stops() -> None:
    session = talk("market/ws/!forceOrder@arr")

    answers(session, '{"method":"UNSUBSCRIBE","params":["!forceOrder@arr"],"id":1}')
    assert session.payloads(liquidation_frame()) == []


@pytest.mark.parametrize(
    ("text", "code", "wrapped"),
    [
        ("{", 3, False),
        ("[1]", 2, False),
        ('{"params":[],"id":1}', 2, False),
        ('{"method":"SUBSCRIBE","params":[],"id":"x"}', 2, False),
        ('{"method":"SUBSCRIBE","params":[]}', 2, False),
        ('{"method":"SUBSCRIBE","params":[1],"id":1}', 2, False),
        ('{"method":"GET_EVERYTHING","id":4}', 2, True),
    ],
)
def test_bad_requests_get_the_error_shapes(text: str, code: int, wrapped: bool) -> None:
    (answer,) = answers(talk("market/ws"), text)

    assert ("error" in answer) == wrapped
    assert answer.get("error", answer)["code"] == code
    assert answer.get("id") == (4 if wrapped else None)


def test_more_messages_than_the_limit_in_a_second_are_hung_up_on() -> None:
    session = talk("market/ws")
    request = '{"method":"LIST_SUBSCRIPTIONS","id":1}'

    assert [session.received(request, T0 + 10 * n).close_code for n in range(11)] == [0] * 10 + [1008]
    assert talk("market/ws").received(request, T0).close_code == 0


def test_more_streams_than_the_limit_are_hung_up_on() -> None:
    names = json.dumps([f"s{n}usdt@forceOrder" for n in range(201)])

    assert talk("market/ws").received(f'{{"method":"SUBSCRIBE","params":{names},"id":1}}', T0).close_code == 1008
