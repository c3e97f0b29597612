"""The state machine of a connection, on a venue made up for it: no socket, no clock."""

import itertools
import json
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape.errors import DecodeError, FeedStalled, SubscriptionRefused
from liqtape.events import Ack, Event, Invalid, Notice, Pong, PriceTick, RawLiquidation, Rejected
from liqtape.instruments import Contract
from liqtape.ledger import Ledger
from liqtape.venues import binance, bybit
from liqtape.venues.base import Endpoint, Heartbeat, InstrumentPage, InstrumentSource, PriceSource, Venue
from liqtape.venues.limits import Limits, RateLimit
from liqtape.venues.session import ACK_LIMIT, MOST_OBJECTS, Session

_FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
_LIQUIDATION = RawLiquidation("toy", "BTCUSDT", "long", 80_000.0, "fill", 1.0, "base", 1_790_000_000_000)
_EVENTS: dict[bytes, list[Event]] = {
    b"liquidation": [_LIQUIDATION],
    b"invalid": [Invalid("toy", "size")],
    b"half": [Invalid("toy", "size"), _LIQUIDATION],
    b"tick": [PriceTick("toy", "BTCUSDT", 80_000.0, 1.0, 1_790_000_000_000)],
    b"pong": [Pong()],
    b"notice": [Notice("upgrade")],
    b"other": [],
    b"ack nobody": [Ack("999")],
    b"no nobody": [Rejected("999", "?")],
}


class _Toy:
    """A venue whose frames are words: what they mean is in `_EVENTS`, answers are `ack ID` and `no ID`."""

    name = "toy"
    on_by_default = False
    ws_url = "ws://toy"
    slot_seconds: int | None = None
    max_publish_delay_ms = 0
    listing_needed = False
    bundled_symbols: Sequence[str] = ()
    instrument_sources: Sequence[InstrumentSource] = ()
    price_sources: Sequence[PriceSource] = ()
    limits = Limits((), (RateLimit(1_000, 1.0),))

    def __init__(self, topics_per_request: int = 2, heartbeat: Heartbeat | None = None) -> None:
        self.topics_per_request = topics_per_request
        self.heartbeat = heartbeat

    def endpoints(self, symbols: Sequence[str]) -> list[Endpoint]:
        return [Endpoint(self.ws_url, tuple(symbols), 5.0)]

    def subscribe(self, request_id: str, topics: Sequence[str]) -> bytes:
        return json.dumps([request_id, *topics]).encode()

    def decode(self, payload: bytes, receive_ms: int | None) -> list[Event]:
        assert receive_ms is None or receive_ms == 7
        if payload in _EVENTS:
            return _EVENTS[payload]
        match payload.decode(errors="replace").split(" "):
            case ["ack", request_id]:
                return [Ack(request_id)]
            case ["ack-topic", topic]:
                return [Ack(topic=topic)]
            case ["no", request_id]:
                return [Rejected(request_id, "unknown topic")]
            case ["no-topic", topic]:
                return [Rejected(reason="unknown topic", topic=topic)]
        raise DecodeError("toy: " + "x" * 1_000)

    def parse_symbol(self, symbol: str) -> Contract:
        return Contract(self.name, symbol, symbol)

    def decode_instruments(self, payload: bytes) -> InstrumentPage:
        return InstrumentPage([self.parse_symbol(payload.decode())])


def _session(*topics: str, venue: Venue | None = None, canary: str = "", limit: float = 5.0) -> Session:
    return Session(_Toy() if venue is None else venue, Endpoint("ws://toy", topics, limit, canary))


def _live(at: float = 0.0, venue: Venue | None = None, limit: float = 5.0) -> Session:
    session = _session("a", venue=venue, limit=limit)
    session.opened(at)
    session.received(b"ack 1", None, at)
    return session


def _sent(frames: list[bytes]) -> list[list[str]]:
    return [json.loads(frame) for frame in frames]


def test_requests_are_chunked_and_at_most_four_wait_for_an_answer() -> None:
    session = _session(*"abcdefghijk")

    assert _sent(session.opened(0.0)) == [["1", "a", "b"], ["2", "c", "d"], ["3", "e", "f"], ["4", "g", "h"]]
    session.received(b"ack 2", None, 0.1)
    assert _sent(session.take_outgoing()) == [["5", "i", "j"]]
    session.received(b"ack 2", None, 0.2)  # answers nothing that still waits
    assert session.take_outgoing() == []
    for request_id in (1, 3, 4, 5):
        session.received(b"ack %d" % request_id, None, 0.3)
    assert _sent(session.take_outgoing()) == [["6", "k"]]
    confirmed = [session.confirmed]
    session.received(b"ack 6", None, 0.4)
    assert [*confirmed, session.confirmed] == [False, True]
    assert session.refused == {}


def test_outgoing_frames_are_handed_out_once() -> None:
    session = _session("a")

    assert len(session.opened(0.0)) == 1
    assert session.take_outgoing() == []
    assert session.due(1.0) == []


def test_an_answer_without_an_id_is_for_the_oldest_request() -> None:
    session = _session(*"abcd", venue=_Toy(1))
    session.opened(0.0)

    session.received(b"ack 1", None, 0.0)
    session.received(b"no ", None, 0.0)
    session.received(b"ack ", None, 0.0)
    session.received(b"ack ", None, 0.0)

    assert session.confirmed
    assert session.refused == {"b": "unknown topic"}


def test_an_answer_that_names_its_topic_is_for_the_request_with_it() -> None:
    session = _session(*"abcd")
    session.opened(0.0)

    session.received(b"no-topic d", None, 0.0)
    assert _sent(session.take_outgoing()) == [["3", "c"], ["4", "d"]]
    session.received(b"no-topic d", None, 0.0)
    session.received(b"ack-topic nobody's", None, 0.0)
    session.received(b"ack-topic c", None, 0.0)
    confirmed = [session.confirmed]
    session.received(b"ack-topic a", None, 0.0)

    assert [*confirmed, session.confirmed] == [False, True]
    assert session.refused == {"d": "unknown topic"}


@pytest.mark.parametrize("answer", [b"ack nobody", b"no nobody"])
def test_an_answer_to_nobody_changes_nothing(answer: bytes) -> None:
    session = _session("a")
    session.opened(0.0)

    session.received(answer, None, 1.0)

    assert not session.confirmed
    assert session.refused == {}
    assert session.take_outgoing() == []


class _Server:
    """Refuses a request that names an unknown topic and does none of it; answers in turn, with the id or without."""

    def __init__(self, unknown: set[str], style: str) -> None:
        self.accepted: list[str] = []
        self.requests: list[list[str]] = []
        self._unknown = unknown
        self._style = style

    def answer(self, frame: bytes) -> bytes:
        request_id, *topics = json.loads(frame)
        self.requests.append(topics)
        word = "no" if self._unknown.intersection(topics) else "ack"
        if word == "ack":
            self.accepted += topics
        if self._style == "topic":
            return f"{word}-topic {topics[0]}".encode()
        return f"{word} {request_id if self._style == 'id' else ''}".encode()


@given(
    st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)))),
    st.integers(1, 12),
    st.sampled_from(["id", "oldest", "topic"]),
)
def test_a_refusal_is_bisected_down_to_the_topics_that_are_unknown(
    count_and_unknown: tuple[int, set[int]], per_request: int, style: str
) -> None:
    count, unknown = count_and_unknown
    topics = [f"t{i}" for i in range(count)]
    bad = {f"t{i}" for i in unknown}
    server = _Server(bad, style)
    session = _session(*topics, venue=_Toy(per_request))

    wire = deque(session.opened(0.0))
    while wire:
        assert len(wire) <= 4
        session.received(server.answer(wire.popleft()), None, 0.0)
        wire += session.take_outgoing()

    assert session.confirmed
    assert set(session.refused) == bad
    assert sorted(server.accepted) == sorted(set(topics) - bad)
    assert all(len(request) <= per_request for request in server.requests)
    # A halving for each bad topic is at most 2 x 4 requests for 12 topics, besides the first ones.
    assert len(server.requests) <= -(-count // per_request) + 8 * len(bad)
    if bad == set(topics):
        with pytest.raises(SubscriptionRefused, match="unknown topic"):
            session.due(0.0)
    else:
        assert session.due(0.0) == []


def test_a_feed_of_nothing_but_its_canary_is_refused() -> None:
    session = _session("canary", "a", venue=_Toy(1), canary="canary")
    session.opened(0.0)
    session.received(b"ack 1", None, 0.0)
    session.received(b"no 2", None, 0.0)

    with pytest.raises(SubscriptionRefused):
        session.due(0.0)


def test_a_feed_without_its_canary_lives() -> None:
    session = _session("canary", "a", venue=_Toy(1), canary="canary")
    session.opened(0.0)
    session.received(b"no 1", None, 0.0)
    session.received(b"ack 2", None, 0.0)

    assert session.confirmed
    assert session.due(0.9) == []
    assert session.refused == {"canary": "unknown topic"}
    assert session.lacking == []


def test_a_refused_topic_is_asked_for_again_with_growing_pauses_until_it_is_given() -> None:
    session = _session("a", "b", venue=_Toy(1))
    session.opened(0.0)
    session.received(b"no 1", None, 0.0)
    session.received(b"ack 2", None, 0.0)
    assert session.lacking == ["a"]
    asked: list[float] = []
    at = 0.0
    while len(asked) < 12:
        session.received(b"tick", None, at)  # else it would be taken for stalled
        at = min(at + 4.0, session.next_deadline())
        for frame in session.due(at):
            request_id, *topics = json.loads(frame)
            assert topics == ["a"]
            asked.append(at)
            session.received(f"no {request_id}".encode(), None, at)
    pauses = [round(later - sooner) for sooner, later in itertools.pairwise([0.0, *asked])]
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert session.take_regained() == set()

    while not (frames := session.due(at)):
        session.received(b"tick", None, at)
        at = min(at + 4.0, session.next_deadline())
    session.received(f"ack {json.loads(frames[0])[0]}".encode(), None, at)
    assert (session.refused, session.lacking) == ({}, [])
    assert session.take_regained() == {"a"}
    assert session.take_regained() == set()


def test_a_question_asked_again_without_an_answer_ends_nothing() -> None:
    session = _session("a", "b", venue=_Toy(1))
    session.opened(0.0)
    session.received(b"no 1", None, 0.0)
    session.received(b"ack 2", None, 0.0)
    assert session.due(1.0)
    for at in range(1, 12):
        session.received(b"tick", None, float(at))
    assert session.due(1.0 + ACK_LIMIT) == []
    assert session.refused == {"a": "no answer"}
    assert session.next_deadline() == 1.0 + ACK_LIMIT + 2.0


def test_trades_that_fail_to_come_are_found_though_liquidations_do() -> None:
    session = _session("canary", "a", canary="canary")
    session.opened(0.0)
    session.received(b"ack 1", None, 0.0)
    limit = session.endpoint.silence_limit
    session.received(b"liquidation", None, limit)
    assert session.trades_silent(limit - 0.1) == 0.0
    assert session.trades_silent(limit) == limit
    session.received(b"tick", None, limit + 1.0)
    assert session.trades_silent(limit + 2.0) == 0.0


def test_a_canary_may_be_all_that_was_asked_for() -> None:
    session = _session("canary", canary="canary")
    session.opened(0.0)
    session.received(b"ack 1", None, 0.0)

    assert session.due(1.0) == []


def test_no_answer_in_time_stalls_whatever_else_arrives() -> None:
    session = _session(*"abcdef", venue=_Toy(1))
    session.opened(100.0)
    session.received(b"ack 1", None, 103.0)
    for at in range(103, 110):
        session.received(b"tick", None, float(at))
    session.take_outgoing()

    assert session.next_deadline() == 100.0 + ACK_LIMIT
    assert session.due(109.999) == []
    with pytest.raises(FeedStalled, match="no answer"):
        session.due(110.0)


def test_each_request_has_its_own_deadline() -> None:
    session = _session(*"abcde", venue=_Toy(1))
    session.opened(0.0)
    for request_id in (1, 2, 3, 4):
        session.received(b"ack %d" % request_id, None, 8.0)
    session.take_outgoing()

    assert session.due(17.999) == []
    with pytest.raises(FeedStalled):
        session.due(18.0)


@pytest.mark.parametrize("frame", [b"liquidation", b"invalid", b"half", b"tick"])
def test_market_data_keeps_a_feed_alive(frame: bytes) -> None:
    session = _live(100.0)
    session.received(frame, 7, 103.0)

    assert session.next_deadline() == 108.0
    assert session.due(107.999) == []
    with pytest.raises(FeedStalled, match="no data for 5 s"):
        session.due(108.0)


@pytest.mark.parametrize("frame", [b"other", b"pong", b"notice", b"ack nobody", b"no nobody", b"\xff"])
def test_what_is_no_market_data_does_not_keep_a_silent_feed_alive(frame: bytes) -> None:
    session = _live(100.0)
    for at in range(101, 106):
        session.received(frame, None, float(at))

    assert session.last_data is None
    with pytest.raises(FeedStalled):
        session.due(105.0)


def test_silence_counts_from_the_confirmation_not_from_data_before_it() -> None:
    session = _session("a", limit=5.0)
    session.opened(0.0)
    session.received(b"tick", None, 1.0)
    assert session.due(7.0) == []
    session.received(b"ack 1", None, 8.0)

    assert session.due(12.999) == []
    with pytest.raises(FeedStalled):
        session.due(13.0)


@pytest.mark.parametrize(
    ("venue", "fixture", "line"), [(bybit, "bybit", 5), (binance, "binance", 3)], ids=["bybit", "binance"]
)
def test_a_stream_of_an_unknown_topic_is_silence(venue: Venue, fixture: str, line: int) -> None:
    frame = (_FIXTURES / fixture / "control.jsonl").read_bytes().splitlines()[line]
    endpoint = venue.endpoints(["BTCUSDT"])[0]
    session = Session(venue, endpoint)
    session.opened(0.0)
    session.received(
        {"bybit": b'{"success":true,"req_id":"1"}', "binance": b'{"result":null,"id":1}'}[fixture], None, 0.0
    )
    assert session.confirmed

    for at in range(1, int(endpoint.silence_limit)):
        session.received(frame, None, float(at))

    assert session.ledger.frames_other_topic == int(endpoint.silence_limit) - 1
    with pytest.raises(FeedStalled):
        session.due(endpoint.silence_limit)


def test_a_heartbeat_at_its_interval_whatever_is_received() -> None:
    session = _live(venue=_Toy(heartbeat=Heartbeat(b"ping", 20.0)), limit=1_000.0)
    session.received(b"tick", None, 19.0)

    assert session.next_deadline() == 20.0
    assert session.due(19.999) == []
    assert session.due(20.0) == [b"ping"]
    assert session.due(39.999) == []
    assert session.due(41.0) == [b"ping"]
    assert session.next_deadline() == 61.0


def test_a_heartbeat_only_when_nothing_was_received() -> None:
    session = _live(venue=_Toy(heartbeat=Heartbeat(b"ping", 20.0, only_when_idle=True)), limit=1_000.0)
    session.received(b"other", None, 15.0)  # any frame restarts the clock

    assert session.next_deadline() == 35.0
    assert session.due(34.999) == []
    assert session.due(35.0) == [b"ping"]
    assert session.due(54.999) == []
    assert session.due(55.0) == [b"ping"]


def test_without_a_heartbeat_nothing_is_sent() -> None:
    session = _live(limit=1_000.0)

    assert [session.due(float(at)) for at in range(0, 900, 30)] == [[]] * 30


def test_a_notice_is_noticed_and_the_last_one_kept() -> None:
    session = _live()
    assert session.notice is None

    assert session.received(b"notice", None, 1.0) == [Notice("upgrade")]

    assert session.notice == "upgrade"


def test_undecodable_frames_are_counted_and_the_newest_sampled_cut_short() -> None:
    session = _live()
    for i in range(100):
        assert session.received(b"%d" % i + b"\xff" * 20_000, None, 1.0) == []

    assert session.ledger.frames_undecodable == 100
    assert len(session.samples) == 8
    assert [sample.payload[:2] for sample in session.samples] == [b"%d" % i for i in range(92, 100)]
    assert {(len(sample.reason), len(sample.payload)) for sample in session.samples} == {(200, 16_384)}


def test_events_reach_the_caller_with_the_time_of_receipt_left_to_the_venue() -> None:
    session = _live()

    assert session.received(b"half", 7, 1.0) == [Invalid("toy", "size"), _LIQUIDATION]


_WORDS = [*_EVENTS, b"ack ", b"ack 1", b"ack 2", b"no ", b"no 1", b"ack-topic b", b"no-topic a", b"", b"garbage"]


@given(st.lists(st.tuples(st.sampled_from(_WORDS) | st.binary(max_size=5), st.floats(0.0, 3.0)), max_size=60))
def test_the_ledger_is_balanced_after_any_sequence(frames: list[tuple[bytes, float]]) -> None:
    ledger = Ledger()
    session = Session(_Toy(), Endpoint("ws://toy", tuple("abcdefg"), 5.0, "a"), ledger)
    now = 0.0
    session.opened(now)

    for count, (frame, later) in enumerate(frames, start=1):
        now += later
        session.received(frame, None, now)
        assert ledger.balanced()
        assert ledger.frames_received == count
        assert session.last_received == now
    assert ledger.frames_liquidation == sum(frame in {b"liquidation", b"invalid", b"half"} for frame, _ in frames)
    assert ledger.frames_other_topic == sum(frame in {b"tick", b"other"} for frame, _ in frames)


@given(
    st.lists(
        st.tuples(st.sampled_from([b"tick", b"other", b"pong", b"ack ", b"garbage"]), st.floats(0.0, 9.0)), max_size=40
    ),
    st.none() | st.builds(Heartbeat, st.just(b"ping"), st.floats(1.0, 30.0), st.booleans()),
    st.floats(0.0, 1.0, exclude_max=True),
)
def test_nothing_is_due_before_the_deadline(
    frames: list[tuple[bytes, float]], heartbeat: Heartbeat | None, part: float
) -> None:
    session = _session(*"abcdefg", venue=_Toy(heartbeat=heartbeat))
    now = 1_000.0
    session.opened(now)
    for frame, later in frames:
        deadline = session.next_deadline()
        assert deadline > now
        early = now + (deadline - now) * part
        if early < deadline:
            assert session.due(early) == []
        now = min(now + later, deadline)
        try:
            session.due(now)
        except FeedStalled:
            return
        session.received(frame, None, now)
        session.take_outgoing()


def test_requests_keep_the_venues_pace_and_all_go_out() -> None:
    venue = _Toy(topics_per_request=1)
    venue.limits = Limits((), (RateLimit(2, 1.0),))
    session = Session(venue, Endpoint("ws://toy", tuple("abcde"), 5.0))
    now = 0.0
    sent = [(now, frame) for frame in session.opened(now)]
    answered = 0
    while not session.confirmed:
        for _ in sent[answered:]:
            answered += 1
            session.received(b"ack %d" % answered, None, now)
        sent += [(now, frame) for frame in session.take_outgoing()]
        if not session.confirmed:
            assert session.next_deadline() > now
            now = session.next_deadline()
            sent += [(now, frame) for frame in session.due(now)]

    assert [at for at, _ in sent] == [0.0, 0.0, 1.0, 1.0, 2.0]
    assert [frame[1] for frame in _sent([frame for _, frame in sent])] == list("abcde")


def test_a_heartbeat_takes_a_place_and_is_never_held_back() -> None:
    venue = _Toy(topics_per_request=1, heartbeat=Heartbeat(b"ping", 0.5))
    venue.limits = Limits((), (RateLimit(1, 1.0),))
    session = Session(venue, Endpoint("ws://toy", ("a", "b"), 5.0))
    assert len(session.opened(0.0)) == 1
    session.received(b"ack 1", None, 0.1)
    assert session.take_outgoing() == []
    assert session.due(0.5) == [b"ping"]
    assert session.due(1.4) == [b"ping"]


def test_a_frame_of_too_many_objects_is_counted_and_not_decoded() -> None:
    session = _live()
    large = b"[" + b"{},         " * (MOST_OBJECTS + 1) + b"]"
    assert session.received(large, None, 1.0) == []
    assert session.ledger.frames_undecodable == 1
    assert session.samples[-1].reason == f"toy: a frame of more than {MOST_OBJECTS} objects"
    assert session.ledger.balanced()
