"""Commands as bytes of the Redis protocol. No I/O."""

from collections.abc import Sequence
from itertools import compress

from msgspec import Struct, json

__all__ = ["RowPacker", "command"]

_LENGTHS = tuple(b"%d\r\n" % length for length in range(512))  # a key's symbol is at most 256 bytes
_QUOTE = ord('"')
_TEXT_OR_BOOL = (b"true", b"false")


def command(*words: bytes) -> bytes:
    r"""One packed command.

    >>> command(b"GET", b"key")
    b'*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n'
    """
    return b"*%d\r\n" % len(words) + b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words])


class RowPacker:
    """Packs rows of one Struct type into hashes: a field a value, None named.

    Floats are spelt as `repr` spells them, booleans `true` and `false`. Text fields must not contain quotes, commas or
    backslashes; a number that is not finite is not defined and counts as None.
    """

    __slots__ = ("_encode", "_heads", "_names")

    def __init__(self, row_type: type[Struct]) -> None:
        self._names = tuple(name.encode() for name in row_type.__struct_fields__)
        self._heads = tuple(b"\r\n$%d\r\n%b\r\n$" % (len(name), name) for name in self._names)
        self._encode = json.Encoder().encode

    def pack(self, key: bytes, values: Sequence[object], wanted: Sequence[bool]) -> tuple[bytes, tuple[bytes, ...]]:
        """(HSET of the wanted fields that are defined, the names of those that are not); at least one is wanted.

        Without any that is defined the command is empty.
        """
        # Through the JSON encoder because it prints all floats at once: 2.9 times (median) faster than repr() for each
        # of the 48 fields of VelocityMetrics (python benchmarks/redis_write.py --pack).
        text = self._encode(list(compress(values, wanted)))[1:-1]
        texts = text.split(b",")
        if b"0.0000" in text or b"e" in text:
            texts = [_as_repr(one) for one in texts]
        fields: list[bytes] = []
        absent: list[bytes] = []
        for head, name, one in zip(compress(self._heads, wanted), compress(self._names, wanted), texts, strict=True):
            if one == b"null":
                absent.append(name)
            elif one[0] == _QUOTE:
                fields += head, _LENGTHS[len(one) - 2], one[1:-1]
            else:
                fields += head, _LENGTHS[len(one)], one
        if not fields:
            return b"", tuple(absent)
        count = 2 + 2 * (len(texts) - len(absent))
        packed = b"*%d\r\n$4\r\nHSET\r\n$%d\r\n%b" % (count, len(key), key) + b"".join(fields) + b"\r\n"
        return packed, tuple(absent)


def _as_repr(value: bytes) -> bytes:
    """JSON and `repr` part where exponents begin: 0.00001 and 1e16 against 1e-05 and 1e+16."""
    if value[0] == _QUOTE or value in _TEXT_OR_BOOL or (b"e" not in value and b"." not in value):
        return value
    return repr(float(value)).encode()
