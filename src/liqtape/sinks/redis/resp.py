"""Commands as bytes of the Redis protocol. No I/O."""

from collections.abc import Sequence
from itertools import compress

from msgspec import Struct, json

__all__ = ["RowPacker", "command", "verb_and_key"]

_LENGTHS = tuple(b"%d\r\n" % length for length in range(512))  # of all but the symbols of strangers
_QUOTE = ord('"')
_TEXT_OR_BOOL = (b"true", b"false")


def command(*words: bytes) -> bytes:
    r"""Pack one command.

    >>> command(b"GET", b"key")
    b'*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n'
    """
    return b"*%d\r\n" % len(words) + b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words])


def verb_and_key(packed: bytes) -> tuple[bytes, bytes]:
    r"""Return the first two words of a packed command that has as many.

    >>> verb_and_key(command(b"HSET", b"a\r\nkey", b"field", b"value"))
    (b'HSET', b'a\r\nkey')
    """
    verb, end = _word(packed, packed.index(b"\r\n") + 2)
    return verb, _word(packed, end)[0]


def _word(packed: bytes, start: int) -> tuple[bytes, int]:
    begin = packed.index(b"\r\n", start) + 2
    end = begin + int(packed[start + 1 : begin])
    return packed[begin:end], end + 2


class RowPacker:
    """Packs rows of one Struct type into hashes: a field a value, None named.

    Floats are spelt as `repr` spells them, booleans `true` and `false`. A number that is not finite is not defined and
    counts as None.
    """

    __slots__ = ("_encode", "_heads", "_names")

    def __init__(self, row_type: type[Struct]) -> None:
        self._names = tuple(name.encode() for name in row_type.__struct_fields__)
        self._heads = tuple(b"\r\n$%d\r\n%b\r\n$" % (len(name), name) for name in self._names)
        self._encode = json.Encoder().encode

    def pack(self, key: bytes, values: Sequence[object], wanted: Sequence[bool]) -> tuple[bytes, tuple[bytes, ...]]:
        """Return (HSET of the wanted fields that are defined, names of the others); at least one is wanted.

        Without any that is defined the command is empty.
        """
        # Through the JSON encoder because it prints all floats at once: 2.9 times (median) faster than repr() for each
        # of the 48 fields of VelocityMetrics (python benchmarks/redis_write.py --pack).
        chosen = list(compress(values, wanted))
        text = self._encode(chosen)[1:-1]
        texts = text.split(b",")
        if len(texts) != len(chosen) or b"\\" in text:  # a text with a comma in it, or one that JSON spells otherwise
            texts = [self._plain(value) for value in chosen]
        if b"0.0000" in text or b"e" in text:
            texts = [_as_repr(one) for one in texts]
        fields: list[bytes] = []
        absent: list[bytes] = []
        for head, name, one in zip(compress(self._heads, wanted), compress(self._names, wanted), texts, strict=True):
            if one == b"null":
                absent.append(name)
            elif one[0] == _QUOTE:
                fields += head, _length(len(one) - 2), one[1:-1]
            else:
                fields += head, _LENGTHS[len(one)], one
        if not fields:
            return b"", tuple(absent)
        count = 2 + 2 * (len(texts) - len(absent))
        packed = b"*%d\r\n$4\r\nHSET\r\n$%d\r\n%b" % (count, len(key), key) + b"".join(fields) + b"\r\n"
        return packed, tuple(absent)

    def _plain(self, value: object) -> bytes:
        """Encode as JSON, but texts as they are between the quotes."""
        return b'"%b"' % value.encode() if isinstance(value, str) else self._encode(value)


def _length(length: int) -> bytes:
    return _LENGTHS[length] if length < len(_LENGTHS) else b"%d\r\n" % length


def _as_repr(value: bytes) -> bytes:
    """Write exponents as `repr` does: 1e-05 and 1e+16, where JSON has 0.00001 and 1e16."""
    if value[0] == _QUOTE or value in _TEXT_OR_BOOL or (b"e" not in value and b"." not in value):
        return value
    return repr(float(value)).encode()
