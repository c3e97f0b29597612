"""What every venue must keep, whichever modules the package holds: adding a venue adds it here."""

import importlib
import json
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import liqtape.venues
from liqtape.engine import VelocityEngine
from liqtape.errors import DecodeError
from liqtape.events import Event, Invalid, Liquidation, RawLiquidation
from liqtape.identity import identity
from liqtape.instruments import Contract, Instruments, is_symbol
from liqtape.pipeline.pricesources import PRICE_SOURCES
from liqtape.settings import Settings, load_settings
from liqtape.venues import VENUES
from liqtape.venues.base import InstrumentPage, Venue, invalid_reason
from liqtape.venues.session import Session


def _found() -> list[Venue]:
    names = [module.name for module in pkgutil.iter_modules(liqtape.venues.__path__)]
    modules = [importlib.import_module(f"liqtape.venues.{name}") for name in names]
    return [cast("Venue", module) for module in modules if hasattr(module, "decode")]


_VENUES = _found()
_FIXTURES = Path(__file__).parent / "fixtures"

every_venue = pytest.mark.parametrize("venue", _VENUES, ids=lambda venue: venue.name)


def _files(venue: Venue, pattern: str) -> list[Path]:
    return sorted((_FIXTURES / venue.name).glob(pattern))


def _frames(venue: Venue) -> list[bytes]:
    return [line for path in _files(venue, "*.jsonl") for line in path.read_bytes().splitlines()]


def test_each_module_is_registered_by_its_name_and_no_other_is() -> None:
    assert {venue.name: venue for venue in _VENUES} == VENUES


@every_venue
def test_the_engine_corrects_for_a_throttle_that_the_venue_has_and_for_no_other(venue: Venue) -> None:
    engine = VelocityEngine()
    symbol = "BTCUSDT"
    for second in range(9):
        at_ms = 1_790_000_000_000 + 1_000 * second
        engine.add(Liquidation(venue.name, symbol, symbol, "long", 1.0, "fill", 1.0, 1.0, at_ms))
    row = engine.metrics(symbol, 1_790_000_009_000)

    assert row is not None
    assert venue.slot_seconds in {None, 1}  # the engine knows no other length
    assert (row.velocity_est_10s > row.velocity_10s) == (venue.slot_seconds is not None)


@every_venue
def test_a_venue_is_connected_by_default_where_it_says_so(venue: Venue) -> None:
    assert (venue.name in Settings().venues) == venue.on_by_default
    assert (venue.name in load_settings(None, {}, known_venues=frozenset(VENUES)).venues) == venue.on_by_default


@every_venue
def test_the_price_may_come_from_each_source_of_the_venue(venue: Venue) -> None:
    topics = {endpoint.canary for endpoint in venue.endpoints(["BTCUSDT"])}
    for source in venue.price_sources:
        assert source in PRICE_SOURCES
        assert source.venue == venue.name
        if source.name == venue.name:  # brought by the connections that are there anyway
            assert (source.host, source.topic in topics) == (venue.ws_url, True)
    names = [source.name for source in PRICE_SOURCES]
    assert len(set(names)) == len(names)


@every_venue
def test_fixtures_decode(venue: Venue, refused_frames: Callable[[Path], int]) -> None:
    for path in _files(venue, "*.jsonl"):
        session = Session(venue, venue.endpoints(["BTCUSDT"])[0])
        lines = path.read_bytes().splitlines()
        for line in lines:
            session.received(line, 1_790_000_000_000, 0.0)
        assert lines
        assert session.ledger.frames_undecodable == refused_frames(path), list(session.samples)
        assert session.ledger.balanced()


@every_venue
def test_fixtures_have_their_origin_and_events_worked_by_hand(venue: Venue) -> None:
    source = (_FIXTURES / venue.name / "SOURCE.md").read_text(encoding="utf-8")
    names = {path.name for path in _files(venue, "*.*")} - {"SOURCE.md"}

    worked = {name for name in names if name.endswith(".expected.ndjson")}
    assert worked
    assert {name.replace(".expected.ndjson", ".jsonl") for name in worked} <= names
    for name in names - worked:
        assert f"`{name}`" in source


@every_venue
def test_events_worked_by_hand_are_sound(venue: Venue) -> None:
    fields = ["schema", *Liquidation.__struct_fields__]
    for path in _files(venue, "*.expected.ndjson"):
        seen: set[str] = set()
        for line in path.read_bytes().splitlines():
            row = json.loads(line)
            assert list(row) == fields
            assert row.pop("schema") == 1
            event = msgspec.convert(row, Liquidation)
            assert (event.venue, event.receive_ms) == (venue.name, None)
            assert event.id not in seen
            seen.add(event.id)
            assert (event.quantity is None) == (event.notional_usd is None)
            if event.quantity is not None:
                assert event.notional_usd == pytest.approx(event.price * event.quantity, abs=1e-6)


@every_venue
def test_frames_to_send_are_json_or_the_documented_text(venue: Venue) -> None:
    for endpoint in venue.endpoints(["BTCUSDT", "BTCUSD"]):
        for count in {1, min(venue.topics_per_request, len(endpoint.topics))}:
            frame = venue.subscribe("1", endpoint.topics[:count])
            assert isinstance(json.loads(frame), dict)
    if venue.heartbeat and venue.heartbeat.frame != b"ping":
        assert isinstance(json.loads(venue.heartbeat.frame), dict)


@every_venue
def test_the_heartbeat_is_below_the_venues_idle_limit(venue: Venue) -> None:
    limit = venue.limits.idle

    assert (venue.heartbeat is None) == (limit is None)  # else its server pings by itself
    if venue.heartbeat and limit:
        assert 0 < venue.heartbeat.every <= limit - 5


@every_venue
def test_endpoints_have_topics_a_canary_among_them_and_a_limit_of_silence(venue: Venue) -> None:
    symbols = [f"C{i}USDT" for i in range(1_000)]
    endpoints = venue.endpoints(symbols)

    assert endpoints
    for endpoint in endpoints:
        assert endpoint.url.startswith(venue.ws_url + "/")
        assert endpoint.canary in endpoint.topics
        assert len(endpoint.topics) > 1
        assert len(set(endpoint.topics)) == len(endpoint.topics)
        assert 0 < endpoint.silence_limit <= 120
    if venue.listing_needed:
        topics = [topic for endpoint in endpoints for topic in endpoint.topics]
        assert all(sum(topic.endswith(f".{symbol}") for topic in topics) == 1 for symbol in symbols[::97])
        assert len(topics) == len(symbols) + len(endpoints)


@every_venue
def test_a_venue_that_needs_its_list_bundles_symbols_for_the_while(venue: Venue) -> None:
    assert bool(venue.bundled_symbols) == venue.listing_needed
    assert venue.topics_per_request >= 1
    assert venue.instrument_sources
    for source in venue.instrument_sources:
        assert source.host.startswith("https://")
        assert source.path.startswith("/")


# Any bytes are events or a DecodeError, and what is an event can be sized, identified and written.


def _check(venue: Venue, payload: bytes) -> None:
    session = Session(venue, venue.endpoints(["BTCUSDT"])[0])
    try:
        events = venue.decode(payload, 1_790_000_000_000)
    except DecodeError:
        return
    assert isinstance(events, list)
    assert {type(event) for event in events} <= set(get_args(Event))
    session.received(payload, None, 0.0)
    assert session.ledger.balanced()
    table = Instruments(lambda _, symbol: venue.parse_symbol(symbol))
    for event in events:
        msgspec.json.encode(event)
        if isinstance(event, RawLiquidation):
            assert (event.venue, invalid_reason(event.price, event.size, event.event_ms)) == (venue.name, "")
            assert event.side in {"long", "short"}
            assert event.symbol
            msgspec.json.encode(table.sized(event, identity(event)))


_NASTY = [
    *("NaN", "Infinity", "-Infinity", "true", "false", "null", "[]", "{}", "[[]]", "1e999", "-1", "0", "-0", "1.5"),
    *("9223372036854775808", "-9223372036854775809", "18446744073709551616", "1790000000", "1790000000000000"),
    *(
        '"NaN"',
        '"inf"',
        '"-Infinity"',
        '""',
        '"0"',
        '"1e308"',
        '"1e-400"',
        '"1e999"',
        '"1_0"',
        '"\\ud800"',
        '"\\udc00x"',
    ),
    *('"²"', '"\uff11"', '"\\u0000"', '"' + "牛" * 400 + '"', "1" * 400, "[" * 2_000, '{"a":' * 2_000, "[" * 100_000),
]


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        inner = [place for key, item in value.items() for place in _places(item, (*path, key))]
    elif isinstance(value, list):
        inner = [place for i, item in enumerate(value) for place in _places(item, (*path, i))]
    else:
        inner = []
    return [path, *inner]


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    if isinstance(value, dict):
        return {key: _replaced(item, path[1:], new) if key == path[0] else item for key, item in value.items()}
    return [_replaced(item, path[1:], new) if i == path[0] else item for i, item in enumerate(value)]


def _without(value: Any, path: tuple[Any, ...]) -> Any:
    if len(path) == 1:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        kept = [(key, item) for key, item in items if key != path[0]]
        return dict(kept) if isinstance(value, dict) else [item for _, item in kept]
    return _replaced(value, path[:1], _without(value[path[0]], path[1:]))


def _json_frames(venue: Venue) -> list[Any]:
    return [json.loads(frame) for frame in _frames(venue) if frame[:1] in b"{[ "]


@every_venue
@pytest.mark.parametrize("literal", _NASTY, ids=lambda literal: literal[:20])
def test_any_literal_in_any_place_of_a_real_frame(venue: Venue, literal: str) -> None:
    shapes: set[str] = set()
    for frame in _json_frames(venue):
        places = _places(frame)
        if str(places) in shapes:  # the same keys again, with other values
            continue
        shapes.add(str(places))
        for place in places:
            text = json.dumps(_replaced(frame, place, "@@"), separators=(",", ":"), ensure_ascii=False)
            _check(venue, text.replace('"@@"', literal).encode())


@every_venue
def test_the_order_of_keys_changes_nothing(venue: Venue) -> None:
    """Frames that begin as all do are decoded at one go; a space before them sends them the long way."""
    compared = 0
    for frame in _json_frames(venue):
        text = json.dumps(frame, separators=(",", ":"), ensure_ascii=False)
        changed = [
            json.dumps(_replaced(frame, p, "@@"), separators=(",", ":"), ensure_ascii=False) for p in _places(frame)
        ]
        for payload in [text, *(one.replace('"@@"', literal) for one in changed for literal in _NASTY)]:
            try:
                events = venue.decode(b" " + payload.encode(), 5)
            except DecodeError:
                continue
            assert venue.decode(payload.encode(), 5) == events
            compared += bool(events)
    assert compared > len(_json_frames(venue))


@every_venue
def test_any_part_of_a_real_frame_may_be_missing(venue: Venue) -> None:
    for frame in _json_frames(venue):
        for place in _places(frame)[1:]:
            _check(venue, msgspec.json.encode(_without(frame, place)))


@every_venue
def test_any_key_of_a_real_frame_may_come_twice(venue: Venue) -> None:
    for frame in _frames(venue):
        text = frame.decode()
        for place, character in enumerate(text):
            if character == "{":
                _check(venue, f'{text[: place + 1]}"e":1,"s":null,"data":0,"T":[],{text[place + 1 :]}'.encode())
            if character == "}":
                _check(venue, f'{text[:place]},"e":"forceOrder","s":null,"data":[0],"topic":""{text[place:]}'.encode())


@every_venue
def test_a_real_frame_cut_anywhere(venue: Venue) -> None:
    for frame in {len(frame): frame for frame in _frames(venue)}.values():
        for end in range(len(frame)):
            _check(venue, frame[:end])


_BYTES = [
    b"",
    b"\xff",
    b"\xed\xa0\x80",
    b"\x00",
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\\",
    b"null",
    b"NaN",
    b"-",
    b"e9",
]
_EDITS = st.lists(
    st.tuples(st.integers(0, 10_000), st.integers(0, 12), st.sampled_from(_BYTES) | st.binary(max_size=4)),
    min_size=1,
    max_size=4,
)


@given(st.data(), _EDITS)
@every_venue
def test_a_mutated_real_frame(venue: Venue, data: st.DataObject, edits: list[tuple[int, int, bytes]]) -> None:
    frame = data.draw(st.sampled_from(_frames(venue)))
    for place, length, new in edits:
        start = place % (len(frame) + 1)
        frame = frame[:start] + new + frame[start + length :]

    _check(venue, frame)


_KEYS = st.sampled_from(
    "e o s S T p q z ap st data topic stream id result error code msg success op ret_msg arg channel event details "
    "fills user liquidation coin px sz side time tid instId bkPx posSide ts".split()
)
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(
        ["forceOrder", "aggTrade", "allLiquidation.BTCUSDT", "liquidation-orders", "userFills", "trades", "SELL"]
    )
)
_JSON = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=6), max_leaves=15
)


@given(_JSON)
@every_venue
def test_random_json(venue: Venue, value: Any) -> None:
    _check(venue, json.dumps(value).encode())


@given(
    st.binary(max_size=60),
    st.sampled_from([b"", b'{"e":"forceOrder"', b'{"topic":"allLiquidation.', b'{"stream":"', b"{"]),
)
@every_venue
def test_random_bytes(venue: Venue, payload: bytes, start: bytes) -> None:
    _check(venue, start + payload)


def _told(session: Session) -> tuple[object, ...]:
    return session.ledger.as_dict(), session.last_received, session.last_data, list(session.samples), session.outgoing


@every_venue
@given(data=st.data())
def test_frames_that_come_together_give_what_they_give_one_by_one(venue: Venue, data: st.DataObject) -> None:
    real = st.sampled_from(_frames(venue))
    cut = st.builds(lambda frame, at: frame[: at % len(frame)], real, st.integers(0, 10_000))
    odd = st.builds(lambda a, b, glue: a + glue + b, real, real, st.sampled_from([b",", b"", b"]", b"],["]))
    frames = data.draw(st.lists(real, max_size=12)) + data.draw(st.lists(real | cut | odd, max_size=6))
    frames = data.draw(st.permutations(frames))
    endpoint = venue.endpoints(["BTCUSDT"])[0]
    alone, together = Session(venue, endpoint), Session(venue, endpoint)

    expected = [event for frame in frames for event in alone.received(frame, 7, 1.0)]
    batches = together.received_together(frames, 7, 1.0)

    assert [event for batch in batches for event in batch] == expected
    assert _told(together) == _told(alone)
    for batch in batches:  # what is replayed stays by itself
        assert len({isinstance(event, RawLiquidation) and event.replayed for event in batch}) == 1


def _check_listing(venue: Venue, payload: bytes) -> None:
    try:
        page = venue.decode_instruments(payload)
    except DecodeError:
        return
    assert isinstance(page, InstrumentPage)
    table = Instruments(lambda name, symbol: Contract(name, symbol, symbol))
    contracts = [contract for contract in page.contracts if is_symbol(contract.symbol)]
    assert table.load(page.contracts) == len(contracts)
    for contract in contracts:
        for unit in ("base", "usd", "contracts"):
            raw = RawLiquidation(venue.name, contract.symbol, "long", 3.0, "fill", 7.0, unit, 1_790_000_000_000)
            msgspec.json.encode(table.sized(raw, "x"))


@every_venue
@pytest.mark.parametrize("literal", _NASTY, ids=lambda literal: literal[:20])
def test_any_literal_in_any_place_of_a_listing(venue: Venue, literal: str) -> None:
    for path in _files(venue, "*.json"):
        listing = json.loads(path.read_bytes())
        for place in _places(listing):
            if sum(isinstance(step, int) and step > 1 for step in place):  # two rows are enough
                continue
            text = json.dumps(_replaced(listing, place, "@@"), separators=(",", ":"), ensure_ascii=False)
            _check_listing(venue, text.replace('"@@"', literal).encode())


@given(st.binary(max_size=60) | _JSON.map(lambda value: json.dumps(value).encode()))
@every_venue
def test_random_listings(venue: Venue, payload: bytes) -> None:
    _check_listing(venue, payload)
    _check_listing(venue, b'{"symbols":[{"symbol":"A"},' + payload)


def _with_symbols(venue: Venue, symbol: str) -> list[bytes]:
    """Frames of liquidations, as they are and in another order of keys, with every symbol replaced."""
    frames = []
    for frame in _json_frames(venue):
        text = json.dumps(frame, separators=(",", ":"), ensure_ascii=False)
        try:
            events = venue.decode(text.encode(), None)
        except DecodeError:
            continue
        named = {event.symbol for event in events if isinstance(event, RawLiquidation)}
        for name in named:
            text = text.replace(f'"{name}"', json.dumps(symbol))
        if named:
            frames += [text.encode(), b" " + text.encode()]
    return frames


@every_venue
@pytest.mark.parametrize("symbol", ["X" * 65, "牛" * 65, "X" * 100_000], ids=len)
def test_a_symbol_beyond_64_bytes_is_invalid(venue: Venue, symbol: str) -> None:
    frames = _with_symbols(venue, symbol)
    events = [event for frame in frames for event in venue.decode(frame, None)]
    assert frames
    assert not [event for event in events if isinstance(event, RawLiquidation)]
    assert any(isinstance(event, Invalid) and event.reason.startswith(("symbol", "Expected")) for event in events)


@every_venue
def test_a_symbol_of_64_bytes_is_none_the_worse_for_it(venue: Venue) -> None:
    events = [event for frame in _with_symbols(venue, "X" * 64) for event in venue.decode(frame, None)]
    assert any(isinstance(event, RawLiquidation) and event.symbol == "X" * 64 for event in events)
