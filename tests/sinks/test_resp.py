import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from liqtape.sinks.resp import RowPacker, command


class Row(Struct):
    name: str
    value: float | None = None
    count: int | None = None
    flag: bool | None = None


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
    packed, absent = RowPacker(Row).pack(b"key", Row("BTCUSDT", value, count, flag))

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
    (words,) = spoken(RowPacker(Row).pack(b"key", Row(name, value, 1, True))[0])

    assert words == [b"HSET", b"key", b"name", name.encode(), b"value", text, b"count", b"1", b"flag", b"true"]


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_what_is_not_defined_is_named(value: float | None) -> None:
    packed, absent = RowPacker(Row).pack(b"key", Row("牛来USDT", value))

    assert spoken(packed) == [[b"HSET", b"key", b"name", "牛来USDT".encode()]]
    assert absent == (b"value", b"count", b"flag")
