"""What venues share: faults of a row, rows decoded one by one, batches, dates."""

import datetime
import json
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from liqtape.errors import DecodeError
from liqtape.events import Invalid
from liqtape.venues import bybit, hyperliquid
from liqtape.venues.base import (
    batched,
    beyond,
    invalid_reason,
    invalid_row,
    is_partial,
    plain_decimal,
    rows_of,
    yymmdd,
)

_MS = 1_790_000_000_000


class _Row(Struct):
    a: int


_decoder = msgspec.json.Decoder(_Row)
_raws = msgspec.json.Decoder(list[msgspec.Raw])


@pytest.mark.parametrize(
    ("price", "size", "event_ms", "reason"),
    [
        (1.0, 2.0, _MS, ""),
        (1.1e-18, 9e17, _MS, ""),
        (9e17, 1.1e-18, _MS, ""),
        (1e-18, 2.0, _MS, "price"),
        (1e18, 2.0, _MS, "price"),
        (1.0, 1e-18, _MS, "size"),
        (1.0, 1e18, _MS, "size"),
        (0.0, 2.0, _MS, "price"),
        (-0.0, 2.0, _MS, "price"),
        (-1.0, 2.0, _MS, "price"),
        (math.nan, 2.0, _MS, "price"),
        (math.inf, 2.0, _MS, "price"),
        (1.0, 0.0, _MS, "size"),
        (1.0, -2.0, _MS, "size"),
        (1.0, math.nan, _MS, "size"),
        (1.0, math.inf, _MS, "size"),
        (1.0, 2.0, 0, "event time"),
        (1.0, 2.0, -_MS, "event time"),
        (1.0, 2.0, _MS // 1000, "event time"),
        (1.0, 2.0, _MS * 1000, "event time"),
        (1.0, 2.0, 2**63, "event time"),
        (1.0, 2.0, 1_262_304_000_000, ""),
        (1.0, 2.0, 1_262_303_999_999, "event time"),
        (1.0, 2.0, 4_102_444_799_999, ""),
        (1.0, 2.0, 4_102_444_800_000, "event time"),
        (math.nan, 0.0, 0, "price"),
    ],
)
def test_why_a_row_cannot_be_an_event(price: float, size: float, event_ms: int, reason: str) -> None:
    assert invalid_reason(price, size, event_ms) == reason


def test_the_bounds_of_event_time_are_the_years_2010_to_2100() -> None:
    first, last = (datetime.datetime(year, 1, 1, tzinfo=datetime.UTC).timestamp() * 1000 for year in (2010, 2100))

    assert invalid_reason(1.0, 1.0, int(first)) == invalid_reason(1.0, 1.0, int(last) - 1) == ""
    assert invalid_reason(1.0, 1.0, int(first) - 1) == invalid_reason(1.0, 1.0, int(last)) == "event time"


def test_an_invalid_row_shows_the_row_cut_short() -> None:
    assert invalid_row("x", "size", _Row(2**70)) == Invalid("x", "size", '{"a":1180591620717411303424}')
    assert invalid_row("x", "size", {"a": math.nan}).row == '{"a":null}'
    assert invalid_row("x", "size", msgspec.Raw(b'{"a":"\xff"}')).row == '{"a":"\ufffd"}'
    assert len(invalid_row("x", "size", {"a": "牛" * 1_000}).row) <= 300


def test_rows_are_decoded_one_by_one_and_the_malformed_are_invalid() -> None:
    rows = rows_of("x", _raws.decode(b'[{"a":1},{"b":1},null,{"a":2}]'), _decoder)

    assert [row.a if isinstance(row, _Row) else row.row for row in rows] == [1, '{"b":1}', "null", 2]


@pytest.mark.parametrize("frame", [b"[null]", b'[{"b":1},{"a":"1"}]'])
def test_no_well_formed_row_makes_it_a_decode_error(frame: bytes) -> None:
    with pytest.raises(DecodeError):
        rows_of("x", _raws.decode(frame), _decoder)


def test_no_rows_at_all_are_no_error() -> None:
    assert rows_of("x", [], _decoder) == []


@given(st.lists(st.text(max_size=3), max_size=30), st.integers(1, 7))
def test_batches_are_full_but_the_last_and_lose_nothing(topics: list[str], limit: int) -> None:
    batches = batched(topics, limit)

    assert [topic for batch in batches for topic in batch] == topics
    assert all(len(batch) == limit for batch in batches[:-1])
    assert all(1 <= len(batch) <= limit for batch in batches)


@given(st.datetimes(datetime.datetime(1970, 1, 1), datetime.datetime(2099, 12, 31, 23, 59, 59)))  # noqa: DTZ001 - strategy bounds are naive
def test_a_date_is_that_of_the_calendar(at: datetime.datetime) -> None:
    at_ms = int(at.replace(tzinfo=datetime.UTC).timestamp() * 1000)

    assert yymmdd(at_ms) == at.strftime("%y%m%d")


@pytest.mark.parametrize("day", ["000229", "240229", "240301", "991231", "000101"])
def test_leap_days_and_turns_of_the_year(day: str) -> None:
    at = datetime.datetime.strptime(day, "%y%m%d").replace(tzinfo=datetime.UTC)

    assert yymmdd(int(at.timestamp() * 1000)) == day
    assert yymmdd(int(at.timestamp() * 1000) + 86_399_999) == day


def test_partial_is_what_shows_only_part_by_design() -> None:
    assert is_partial(hyperliquid)
    assert not is_partial(bybit)


def test_a_row_of_a_frame_is_kept_as_it_was_sent() -> None:
    (raw,) = _raws.decode(b'[ {"b" : 1} ]')

    assert json.loads(invalid_row("x", "", raw).row) == {"b": 1}


@given(st.binary(max_size=6), st.binary(max_size=3))
def test_what_lies_below_beyond_begins_with_the_prefix(payload: bytes, rest: bytes) -> None:
    prefix = b'{"t'
    for each in (payload, prefix + rest, prefix[:-1] + rest, prefix[:-1] + b"u" + rest):
        assert each.startswith(prefix) == (prefix <= each < beyond(prefix))


@pytest.mark.parametrize("text", ["1_0", "\u0663", "NaN", "inf", "-1", " 1", "1e9999", "9" * 10_000, ""])
def test_a_number_is_written_in_digits_of_ours(text: str) -> None:
    assert plain_decimal(text).is_nan()


def test_a_number_keeps_its_places() -> None:
    assert [str(plain_decimal(text)) for text in ("0.010", "100", "1e-3")] == ["0.010", "100", "0.001"]
