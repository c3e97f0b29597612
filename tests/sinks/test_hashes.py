from typing import Any

import hiredis
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape.events import VelocityMetrics
from liqtape.sinks.redis.hashes import Hashes

NAMES = VelocityMetrics.__struct_fields__


def row(symbol: str = "BTCUSDT", **known: Any) -> VelocityMetrics:
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(VelocityMetrics):
        values[field.name] = 3 if field.type is int else False if field.type is bool else 1.5
    return VelocityMetrics(**(values | {"symbol": symbol, "level": "NONE"} | known))


class Server:
    """What a server makes of the commands, and what it replies."""

    def __init__(self) -> None:
        self.hashes: dict[bytes, dict[bytes, bytes]] = {}
        self.spoken: list[list[bytes]] = []

    def obey(self, hashes: Hashes, metrics: VelocityMetrics, now: float = 0.0) -> None:
        written, commands = hashes.write(metrics, now)
        replies = [self._reply(packed) for packed in commands]
        if replies and not hashes.is_whole(written, replies[0]):
            self.obey(hashes, metrics, now)

    def _reply(self, packed: bytes) -> int:
        reader = hiredis.Reader()
        reader.feed(packed)
        words: Any = reader.gets()
        self.spoken.append(words)
        verb, key, *rest = words
        stored = self.hashes.setdefault(key, {})
        if verb == b"HSET":
            fields = dict(zip(rest[::2], rest[1::2], strict=True))
            added = len(fields.keys() - stored.keys())
            stored |= fields
            return added
        if verb == b"HDEL":
            return sum(stored.pop(name, None) is not None for name in rest)
        assert verb == b"EXPIRE"
        return 1

    @property
    def row(self) -> dict[str, str]:
        return {name.decode(): text.decode() for name, text in self.hashes[b"velocity:BTCUSDT:current"].items()}


def as_stored(metrics: VelocityMetrics) -> dict[str, str]:
    whole = Server()
    whole.obey(Hashes(), metrics)
    return whole.row


numbers = st.sampled_from([0.0, 1.5, 1e-7, 2e16, 12.25])
changes = st.fixed_dictionaries(
    {},
    optional={
        "timestamp": numbers,
        "btc_price": st.none() | numbers,
        "surprise": st.none() | numbers,
        "event_count_10s": st.integers(0, 3),
        "event_count_300s": st.integers(0, 2),
        "saturated": st.booleans(),
        "level": st.sampled_from(["NONE", "ALERT"]),
        "btc_source": st.none() | st.just("binance"),
    },
)


@given(st.lists(st.tuples(changes, st.booleans())))
def test_hash_is_the_last_row_whatever_came_before_and_whoever_deleted_it(
    steps: list[tuple[dict[str, Any], bool]],
) -> None:
    server, hashes = Server(), Hashes()
    for known, is_deleted in steps:
        server.obey(hashes, row(**known))
        if is_deleted:
            server.hashes.clear()
    last = row(timestamp=3.0, event_count_10s=99)
    server.obey(hashes, last)

    assert server.row == as_stored(last)


def test_only_what_changed_is_written() -> None:
    server, hashes = Server(), Hashes()
    server.obey(hashes, row())
    server.obey(hashes, row(velocity_10s=2.5))

    assert server.spoken[-1] == [b"HSET", b"velocity:BTCUSDT:current", b"velocity_10s", b"2.5"]


def test_field_that_becomes_known_is_no_reason_to_write_the_row_again() -> None:
    server, hashes = Server(), Hashes()
    server.obey(hashes, row(btc_price=None))
    server.obey(hashes, row(btc_price=2.5, velocity_10s=2.5))

    assert [words[0] for words in server.spoken] == [b"HSET", b"HDEL", b"EXPIRE", b"HSET"]


def test_nothing_is_written_of_a_row_that_did_not_change() -> None:
    server, hashes = Server(), Hashes()
    server.obey(hashes, row())
    before = len(server.spoken)
    server.obey(hashes, row())

    assert len(server.spoken) == before


def test_time_to_live_is_renewed_about_once_a_second() -> None:
    server, hashes = Server(), Hashes()
    for now in (0.0, 0.5, 0.8, 1.0, 1.7, 2.0):
        server.obey(hashes, row(timestamp=now), now)

    assert [words[0] for words in server.spoken].count(b"EXPIRE") == 3


def test_rows_of_instruments_that_emptied_are_forgotten() -> None:
    hashes = Hashes()
    hashes.write(row(), 0.0)
    assert "BTCUSDT" in hashes

    hashes.write(row(event_count_300s=0), 0.0)
    assert "BTCUSDT" not in hashes


@pytest.mark.parametrize("reply", [0, 1, hiredis.ReplyError("OOM")])
def test_reply_of_a_first_write_is_no_surprise_and_that_of_a_later_one_may_be(reply: object) -> None:
    hashes = Hashes()
    first, _ = hashes.write(row(), 0.0)
    assert hashes.is_whole(first, reply)
    assert "BTCUSDT" in hashes

    second, _ = hashes.write(row(velocity_10s=2.5), 0.0)
    assert hashes.is_whole(second, reply) is (reply == 0)
    assert ("BTCUSDT" in hashes) is (reply == 0)
