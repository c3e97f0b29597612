from collections.abc import Sequence

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import astuple

from liqtape.sinks.redis.resp import RowPacker, command


class Row(Struct):
    name: str
    value: float | None = None
    count: int | None = None
    flag: bool | None = None


ALL = (True,) * len(Row.__struct_fields__)


def pack(key: bytes, row: Row, wanted: Sequence[bool] = ALL) -> tuple[bytes, tuple[bytes, ...]]:
    return RowPacker(Row).pack(key, astuple(row), wanted)


def spoken(packed: bytes) -> list[list[bytes]]:
    """The commands as a server would read them."""
    reader = hiredis.Reader()
    reader.feed(packed)
    commands = []
    while (words := reader.gets()) is not False:
        assert isinstance(words, list)
        commands.append(words)
    assert not reader.has_data()
    return commands


@given(st.lists(st.binary(), min_size=1))
def test_command_is_read_back_word_for_word(words: list[bytes]) -> None:
    assert spoken(command(*words)) == [words]


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 2**63), st.booleans())
def test_numbers_are_spelt_as_repr_and_booleans_in_lower_case(value: float, count: int, flag: bool) -> None:
    packed, absent = pack(b"key", Row("BTCUSDT", value, count, flag))

    expected = ["name", "BTCUSDT", "value", repr(value), "count", repr(count), "flag", "true" if flag else "false"]
    assert spoken(packed) == [[b"HSET", b"key", *(word.encode() for word in expected)]]
    assert absent == ()


@pytest.mark.parametrize("name", ["BTCUSDT", "e0.0000"])
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-05, b"1e-05"),
        (0.0001, b"0.0001"),
        (100.00001, b"100.00001"),
        (1e16, b"1e+16"),
        (-0.0, b"-0.0"),
        (450000.0, b"450000.0"),
        (5e-324, b"5e-324"),
    ],
)
def test_exponents_begin_where_repr_begins_them(value: float, text: bytes, name: str) -> None:
    (words,) = spoken(pack(b"key", Row(name, value, 1, True))[0])

    assert words == [b"HSET", b"key", b"name", name.encode(), b"value", text, b"count", b"1", b"flag", b"true"]


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_what_is_not_defined_is_named(value: float | None) -> None:
    packed, absent = pack(b"key", Row("牛来USDT", value))

    assert spoken(packed) == [[b"HSET", b"key", b"name", "牛来USDT".encode()]]
    assert absent == (b"value", b"count", b"flag")


@given(st.lists(st.booleans(), min_size=4, max_size=4).filter(any))
def test_only_the_wanted_fields_are_packed(wanted: list[bool]) -> None:
    packed, absent = pack(b"key", Row("BTCUSDT", None, 3, False), wanted)

    texts = dict(zip(Row.__struct_fields__, ["BTCUSDT", None, "3", "false"], strict=True))
    asked = [name for name, is_wanted in zip(texts, wanted, strict=True) if is_wanted]
    words = [word.encode() for name in asked if (text := texts[name]) is not None for word in (name, text)]
    assert spoken(packed) == ([[b"HSET", b"key", *words]] if words else [])
    assert absent == tuple(name.encode() for name in asked if texts[name] is None)


def test_symbol_that_reads_like_an_absent_value_is_a_symbol() -> None:
    assert spoken(pack(b"key", Row("null"))[0]) == [[b"HSET", b"key", b"name", b"null"]]
