"""Frames to liquidations: order, identity, counts; and every byte survived."""

import io
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape.eventfiles import normalize
from liqtape.eventfiles.normalize import Normalizer, frames
from liqtape.venues import VENUES

_BINANCE = (
    b'{"e":"forceOrder","E":1791391083124,"o":{"s":"ILVUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"116.5",'
    b'"p":"3.80300","ap":"3.85642","X":"FILLED","l":"25.2","z":"116.5","T":1791391082119}}'
)
_ROW = '{"T":1789670094099,"s":"ICPUSDT","S":"Buy","v":"19.7","p":"2.585"}'


def _bybit(*rows: str) -> bytes:
    return (
        '{"topic":"allLiquidation.ICPUSDT","type":"snapshot","ts":1789670094412,"data":[' + ",".join(rows) + "]}"
    ).encode()


def _lines(venue: str, *source: bytes) -> list[bytes]:
    return list(Normalizer(VENUES[venue]).lines(source))


def test_a_line_has_the_documented_fields_in_their_order() -> None:
    expected = (
        b'{"schema":1,"venue":"binance","instrument":"ILVUSDT","symbol":"ILVUSDT","side":"long","price":3.85642,'
        b'"price_kind":"fill","quantity":116.5,"notional_usd":449.27293,"event_ms":1791391082119,"receive_ms":null,'
        b'"id":"ILVUSDT:1791391082119:long:405d200000000000400ed9f2ba9d1f60"}\n'
    )
    assert [expected] == _lines("binance", _BINANCE)


def test_input_order_is_kept_whatever_the_event_times() -> None:
    older = _BINANCE.replace(b"1791391082119", b"1600000000000")
    times = [json.loads(line)["event_ms"] for line in _lines("binance", _BINANCE, older, _BINANCE)]
    assert times == [1791391082119, 1600000000000]


def test_copies_in_one_frame_count_and_the_frame_again_does_not() -> None:
    normalizer = Normalizer(VENUES["bybit"])
    counts = [len(normalizer.take(frame)) for frame in (_bybit(_ROW, _ROW), _bybit(_ROW), _bybit(_ROW, _ROW, _ROW))]
    assert counts == [2, 0, 1]
    assert normalizer.ledger.events_duplicate == 3
    assert normalizer.ledger.balanced()


def test_every_frame_is_counted_where_it_belongs() -> None:
    normalizer = Normalizer(VENUES["bybit"])
    bad_row = _ROW.replace("19.7", "-1")
    sources = [
        _bybit(_ROW, bad_row),
        b'{"success":true,"ret_msg":"pong","conn_id":"x","req_id":"","op":"ping"}',
        b'{"success":false,"ret_msg":"Invalid symbol","op":"subscribe"}',
        b'{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT"},"ts":1791091006483}',
        b'{"topic":"allLiq',
    ]
    assert len(list(normalizer.lines(sources))) == 1
    assert normalizer.summary() == {
        "frames": {"liquidation": 1, "other_topic": 1, "control": 2, "undecodable": 1},
        "events": 1,
        "duplicates": 0,
        "invalid": 1,
        "unsized": 0,
    }


def test_an_unknown_contract_size_is_unsized_and_the_venues_list_sizes_it() -> None:
    frame = _BINANCE.replace(b"ILVUSDT", b"NEWUSD_PERP")
    unsized, sized = (
        Normalizer(VENUES["binance"]),
        Normalizer(
            VENUES["binance"],
            VENUES["binance"]
            .decode_instruments(b'{"symbols":[{"symbol":"NEWUSD_PERP","contractSize":10,"contractStatus":"TRADING"}]}')
            .contracts,
        ),
    )
    assert unsized.take(frame)[0].notional_usd is None
    assert unsized.ledger.events_unsized == 1
    assert sized.take(frame)[0].notional_usd == 1165.0


@pytest.mark.parametrize(
    "broken",
    [
        _BINANCE.replace(b"ILVUSDT", b"ILV\xff\xfe"),
        _BINANCE.replace(b"ILVUSDT", b"ILV\x00"),
        b"\x00",
        b"\xff",
        b'{"e":"forceOrder","o":' + b"[" * 100_000,
        b"pong",
    ],
    ids=["not UTF-8", "NUL in a name", "NUL", "one byte", "deeply nested", "a word"],
)
def test_bytes_that_are_no_frame_are_undecodable_and_the_next_is_read(broken: bytes) -> None:
    normalizer = Normalizer(VENUES["binance"])
    assert [len(normalizer.take(frame)) for frame in (broken, _BINANCE)] == [0, 1]
    assert normalizer.ledger.frames_undecodable == 1
    assert normalizer.ledger.balanced()


def test_a_product_beyond_all_numbers_is_invalid() -> None:
    normalizer = Normalizer(VENUES["binance"])
    assert normalizer.take(_BINANCE.replace(b"116.5", b"1e200").replace(b"3.85642", b"1e200")) == []
    assert normalizer.ledger.events_rejected_invalid == 1
    assert normalizer.ledger.balanced()


@pytest.mark.parametrize("venue", list(VENUES))
@given(source=st.lists(st.binary(max_size=60) | st.sampled_from([_BINANCE, _bybit(_ROW)]), max_size=5))
def test_any_bytes_leave_the_ledger_balanced(venue: str, source: list[bytes]) -> None:
    normalizer = Normalizer(VENUES[venue])
    # As many as the log names are read without it: a warning for each example would drown the output.
    for frame in frames(io.BytesIO(b"\n".join(source))):
        normalizer.take(frame)
    assert normalizer.ledger.balanced()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"a\nb\n", [b"a", b"b"]),
        (b"a\nb", [b"a", b"b"]),
        (b"a\r\nb\r\n", [b"a", b"b"]),
        (b"\n\n  \na\n\n", [b"a"]),
        (b"", []),
        (b"a\x00b\xff\n", [b"a\x00b\xff"]),
        (b"\xef\xbb\xbfa\r\nb\n", [b"a", b"b"]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", [b"a", b"b"]),
        (b"\xef\xbb\xbf\n", []),
    ],
    ids=["lines", "no last end", "CRLF", "blank", "empty", "any byte", "byte order mark", "of two files", "alone"],
)
def test_frames_are_lines(text: bytes, expected: list[bytes]) -> None:
    assert expected == list(frames(io.BytesIO(text)))


def test_a_line_beyond_the_limit_is_cut_and_the_next_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normalize, "LONGEST_FRAME", 4)
    assert list(frames(io.BytesIO(b"abcdefghijk\nxyz\n"))) == [b"abcd", b"xyz"]


def test_the_first_undecodable_frames_are_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        _lines("binance", _BINANCE, *(b"?" for _ in range(9)))
    assert len(caplog.messages) == 5
    assert caplog.messages[0].startswith("frame 2: binance")


def test_identities_forgotten_for_want_of_room_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normalize, "_IDENTITIES", 1)
    normalizer = Normalizer(VENUES["binance"])
    for minute in range(3):
        normalizer.take(_BINANCE.replace(b"1791391082119", str(1791391082119 + 60_000 * minute).encode()))
    assert normalizer.forgotten_total == 2
