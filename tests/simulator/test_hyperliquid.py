import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from liqtape.simulator import hyperliquid
from liqtape.simulator.generator import Generator
from liqtape.simulator.hyperliquid_fills import LIQUIDATORS, MAKERS, STRATEGIES
from liqtape.simulator.listings import MARKETS
from liqtape.simulator.scenario import scenario
from liqtape.simulator.wire import Arrival, ClientSession, Frame, SentRow, ServerLimits, VenuePublisher

T0 = 1_795_000_000_000
STRANGER = "0x" + "5" * 40


def talk(publisher: VenuePublisher) -> ClientSession:
    session = publisher.converse("ws", {}, 1)
    assert session is not None
    return session


def new(**limits: Any) -> tuple[VenuePublisher, ClientSession]:
    publisher = hyperliquid.publisher(1, ServerLimits(**limits))
    return publisher, talk(publisher)


def say(session: ClientSession, method: str, **subscription: object) -> list[Any]:
    request = json.dumps({"method": method, "subscription": subscription})
    return [json.loads(frame) for frame in session.received(request, T0).frames]


def watch(session: ClientSession, *users: str) -> list[Frame]:
    more: list[Frame] = []
    for user in users:
        request = json.dumps({"method": "subscribe", "subscription": {"type": "userFills", "user": user}})
        more += session.received(request, T0).more
    return more


def live(*users: str, seconds: int = 25) -> list[tuple[str, Any, SentRow | None]]:
    """What the watchers of these users get of a cascade: user, fill, and the row the ledger would have."""
    publisher, session = new()
    watch(session, *users)
    frames: list[Frame] = []
    for true in Generator(scenario("cascade"), 1, MARKETS["hyperliquid"], "hyperliquid").until(1_000 * seconds):
        publisher.add(Arrival(true, T0 + true.at_ms, T0 + true.at_ms))
        frames += publisher.due(T0 + true.at_ms)
    seen: list[tuple[str, Any, SentRow | None]] = []
    for frame in frames:
        (payload,) = session.payloads(frame)
        content = json.loads(payload)["data"]
        assert list(content) == ["user", "fills"]
        tids = {(row.event_ms, row.price, row.size): row for row in frame.rows}
        for fill in content["fills"]:
            counted = "liquidation" in fill and fill["dir"] != "Auto-Deleveraging"
            row = tids[fill["time"], fill["px"], fill["sz"]] if counted else None
            seen.append((content["user"], fill, row))
        assert len(frame.rows) == sum(row is not None for _, _, row in seen[-len(content["fills"]) :])
    return seen


ALL_WATCHED = (*STRATEGIES, *MAKERS, LIQUIDATORS[0])


def test_fills_have_the_keys_and_types_of_real_ones(
    real_frames: Callable[[str], list[Any]], shape: Callable[[Any], Any]
) -> None:
    own, counterparty, snapshot = real_frames("hyperliquid")[:3]
    seen = live(*ALL_WATCHED)

    with_mark = {json.dumps(shape(fill)) for _, fill, _ in seen if "liquidation" in fill}
    assert with_mark == {json.dumps(shape(own))} == {json.dumps(shape(counterparty))}
    publisher, session = new()
    watch(session, STRATEGIES[0])
    ordinary = [frame for now in range(T0, T0 + 20_000, 100) for frame in publisher.trades(now, lambda i: i.price)]
    for frame in ordinary:
        for fill in json.loads(frame.body)["data"]["fills"]:
            assert shape(fill) == shape(snapshot["data"]["fills"][0])
        assert (frame.kind, frame.rows) == ("other_topic", ())
    assert ordinary


def test_snapshot_comes_first_and_tells_of_old_liquidations(
    real_frames: Callable[[str], list[Any]],
) -> None:
    _, session = new()
    (frame,) = watch(session, STRATEGIES[0])

    snapshot = json.loads(frame.body)
    real = real_frames("hyperliquid")[2]
    assert (list(snapshot), list(snapshot["data"])) == (list(real), list(real["data"]))
    assert snapshot["data"]["isSnapshot"] is True
    times = [fill["time"] for fill in snapshot["data"]["fills"]]
    assert times == sorted(times, reverse=True)
    assert frame.snapshot
    assert len(frame.rows) > 3
    assert all(400_000 <= T0 - row.event_ms <= 6 * 3_600_000 for row in frame.rows)
    marked = [fill for fill in snapshot["data"]["fills"] if "liquidation" in fill]
    assert 0 < len(frame.rows) <= len(marked) < len(times)


def test_trades_begin_with_thirty_past_ones_and_have_the_shape_of_real_ones(
    real_frames: Callable[[str], list[Any]], shape: Callable[[Any], Any]
) -> None:
    publisher, session = new()
    request = {"method": "subscribe", "subscription": {"type": "trades", "coin": "BTC"}}
    (past,) = session.received(json.dumps(request), T0).more
    now = [frame for at in range(T0, T0 + 5_000, 100) for frame in publisher.trades(at, lambda item: item.price)]

    assert len(json.loads(past.body)["data"]) == 30
    assert now
    for frame in (past, *now):
        assert shape(json.loads(frame.body)) == shape(real_frames("hyperliquid")[3])
        assert session.payloads(frame) == [frame.body]


def test_controls_are_answered_as_in_real_frames(real_frames: Callable[[str], list[Any]]) -> None:
    frames = real_frames("hyperliquid")[4:10]
    fills, trades, _, pong, _, parse = frames
    _, session = new()

    assert say(session, "subscribe", **fills["data"]["subscription"]) == [fills]
    assert say(session, "subscribe", **trades["data"]["subscription"]) == [trades]
    assert say(session, "unsubscribe", **trades["data"]["subscription"]) == [
        {"channel": "subscriptionResponse", "data": trades["data"] | {"method": "unsubscribe"}}
    ]
    assert [json.loads(frame) for frame in session.received('{"method":"ping"}', T0).frames] == [pong]
    assert say(session, "subscribe", type="liquidations") == [parse]


def test_unsubscribing_twice_and_subscribing_twice_are_errors(real_frames: Callable[[str], list[Any]]) -> None:
    _, session = new()

    assert say(session, "unsubscribe", type="trades", coin="ETH") == [real_frames("hyperliquid")[8]]
    say(session, "subscribe", type="trades", coin="BTC")
    assert say(session, "subscribe", type="trades", coin="BTC") == [
        {"channel": "error", "data": 'Already subscribed: {"type":"trades","coin":"BTC"}'}
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ping",
        "[]",
        '{"method":"subscribe"}',
        '{"method":"dance","subscription":{"type":"trades","coin":"BTC"}}',
        '{"method":"subscribe","subscription":{"type":"userFills"}}',
        '{"method":"subscribe","subscription":{"type":"userFills","user":"0x12"}}',
        '{"method":"subscribe","subscription":[{"type":"trades","coin":"BTC"}]}',
    ],
)
def test_bad_requests_are_errors_that_repeat_them(text: str) -> None:
    _, session = new()
    (frame,) = session.received(text, T0).frames

    assert json.loads(frame) == {
        "channel": "error",
        "data": f"Error parsing JSON into valid websocket request: {text}",
    }


def test_unlisted_coin_ends_the_connection() -> None:
    _, session = new()
    request = {"method": "subscribe", "subscription": {"type": "trades", "coin": "NOSUCH"}}

    assert session.received(json.dumps(request), T0).close_code == 1008


def test_ten_users_are_watched_from_one_address_whatever_the_connection() -> None:
    publisher, first = new()
    second = talk(publisher)
    users = [f"0x{number:040x}" for number in range(11)]
    assert len(watch(first, *users[:6])) == 6
    assert len(watch(second, *users[5:10])) == 5

    refused = say(second, "subscribe", type="userFills", user=users[10])
    assert refused == [{"channel": "error", "data": "Cannot track more than 10 total users."}]

    assert first.ended()
    assert len(watch(second, *users[:4], users[10])) == 5
    say(second, "unsubscribe", type="userFills", user=users[0])
    assert len(watch(second, STRANGER)) == 1


def test_subscriptions_are_limited() -> None:
    _, session = new(hyperliquid_subscriptions=1)
    say(session, "subscribe", type="trades", coin="BTC")

    assert say(session, "subscribe", type="trades", coin="ETH") == [
        {"channel": "error", "data": "Cannot subscribe to more than 1 channels."}
    ]


def test_unwatched_liquidations_are_sent_to_nobody() -> None:
    assert live(STRANGER) == []
    assert len(live(STRATEGIES[0])) < len(live(*ALL_WATCHED))


def test_address_is_the_same_in_capitals() -> None:
    _, session = new()

    (frame,) = watch(session, STRATEGIES[0].replace("0x", "").upper().join(("0x", "")))

    assert json.loads(frame.body)["data"]["user"] == STRATEGIES[0]


def test_side_of_the_closed_position_follows_from_the_watched_users_side() -> None:
    seen = live(*ALL_WATCHED)
    legs = Counter[tuple[bool, str, str]]()
    for user, fill, row in seen:
        if row is not None:
            legs[user == fill["liquidation"]["liquidatedUser"], fill["side"], row.side] += 1

    assert set(legs) == {(True, "A", "long"), (True, "B", "short"), (False, "B", "long"), (False, "A", "short")}


def test_both_legs_of_a_trade_are_one_liquidation() -> None:
    by_tid: dict[int, list[tuple[Any, SentRow]]] = {}
    for _, fill, row in live(*ALL_WATCHED):
        if row is not None:
            by_tid.setdefault(fill["tid"], []).append((fill, row))

    pairs = [legs for legs in by_tid.values() if len(legs) == 2]
    assert pairs
    assert all(len(legs) <= 2 for legs in by_tid.values())
    for (one, row), (other, again) in pairs:
        assert row == again
        assert {one["side"], other["side"]} == {"A", "B"}
        for key in ("coin", "px", "sz", "time", "hash", "tid", "liquidation"):
            assert one[key] == other[key]
    serials = [legs[0][1].serial for legs in by_tid.values()]
    assert len(set(serials)) == len(serials)


def test_parts_of_one_liquidation_share_time_and_hash_and_have_their_own_trade() -> None:
    parts: dict[str, list[Any]] = {}
    for user, fill, row in live(*ALL_WATCHED):
        if row is not None and user != fill["liquidation"]["liquidatedUser"]:
            parts.setdefault(fill["hash"], []).append(fill)

    several = [fills for fills in parts.values() if len(fills) > 1]
    assert several
    for fills in several:
        assert len({fill["time"] for fill in fills}) == len({fill["coin"] for fill in fills}) == 1
        assert len({fill["tid"] for fill in fills}) == len(fills)


def test_deleveraging_bears_the_object_and_is_not_counted() -> None:
    deleveraged = [(fill, row) for _, fill, row in live(*ALL_WATCHED) if fill["dir"] == "Auto-Deleveraging"]

    assert deleveraged
    assert all(row is None and fill["liquidation"]["liquidatedUser"] in LIQUIDATORS for fill, row in deleveraged)


def test_backstop_is_on_a_liquidator_and_says_so() -> None:
    taken = [
        (fill, row)
        for user, fill, row in live(*LIQUIDATORS)
        if fill["liquidation"]["method"] == "backstop" and row is not None
    ]

    assert {fill["dir"].split()[0] for fill, _ in taken} == {"Liquidated", "Open"}
    for fill, row in taken:
        assert fill["dir"].split()[-1] == row.side.capitalize()


def test_maker_may_open_or_close_or_turn_its_position() -> None:
    directions = {fill["dir"] for user, fill, _ in live(*ALL_WATCHED)}

    assert {"Open Long", "Open Short", "Close Long", "Close Short", "Short > Long"} <= directions


def test_spot_builder_and_thousands_coins_occur() -> None:
    publisher, session = new()
    watch(session, *ALL_WATCHED)
    frames = [frame for at in range(T0, T0 + 60_000, 50) for frame in publisher.trades(at, lambda item: item.price)]
    coins = {fill["coin"] for frame in frames for fill in json.loads(frame.body)["data"]["fills"]}
    liquidated = {fill["coin"] for _, fill, row in live(*ALL_WATCHED) if row is not None}

    assert {"@107", "kPEPE", "xyz:SILVER", "BTC"} <= coins
    assert {"kPEPE", "xyz:SILVER", "BTC"} <= liquidated
    assert "@107" not in liquidated


def test_two_runs_of_a_seed_are_the_same() -> None:
    assert live(*ALL_WATCHED, seconds=6) == live(*ALL_WATCHED, seconds=6)


@pytest.mark.parametrize("path", ["", "info", "ws/x", "v1/ws"])
def test_other_paths_lead_nowhere(path: str) -> None:
    assert hyperliquid.publisher(1, ServerLimits()).converse(path, {}, 1) is None
