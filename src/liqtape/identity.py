"""Identity: which events were seen before. Keys are kept by event time, oldest forgotten first."""

from liqtape.events import RawLiquidation

__all__ = ["Identities", "identity"]

_GENERATION_MS = 60_000


def identity(raw: RawLiquidation) -> str:
    """The stable identity of an event, from the fields its venue cannot repeat (venues reference, section 10).

    Equal rows of one frame that are distinct liquidations (Bybit) bear their number, so a copy of the whole frame gives
    the same identities again: the most copies in one frame count, further copies later are repeats.

    >>> identity(RawLiquidation("bybit", "A", "long", 2.5, "bankruptcy", 7.0, "base", 1_790_000_000_000, copy=2))
    'A:long:1790000000000:7.0:2.5#2'
    """
    if raw.native_id:
        return f"{raw.symbol}:{raw.event_ms}:{raw.native_id}"
    if raw.venue_side:
        return f"{raw.symbol}:{raw.event_ms}:{raw.venue_side}:{raw.size!r}:{raw.price!r}"
    if raw.copy == 1:
        return f"{raw.symbol}:{raw.side}:{raw.event_ms}:{raw.size!r}:{raw.price!r}"
    return f"{raw.symbol}:{raw.side}:{raw.event_ms}:{raw.size!r}:{raw.price!r}#{raw.copy}"


class Identities:
    """The identities seen at one venue, at most `limit`; when full the oldest minute of event time is forgotten.

    Holds 64-bit hashes: two different events of one minute collide once in some 10^13.

    >>> seen = Identities()
    >>> seen.is_new("a", 1_000), seen.is_new("a", 1_000)
    (True, False)
    """

    def __init__(self, limit: int = 1_000_000) -> None:
        self.forgotten_total = 0
        self._limit = limit
        self._generations: dict[int, set[int]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def is_new(self, key: str, event_ms: int) -> bool:
        """Whether `key` was not seen before; from now on it was."""
        minute = event_ms // _GENERATION_MS
        generation = self._generations.get(minute)
        if generation is None:
            generation = self._generations[minute] = set()
        hashed = hash(key)
        if hashed in generation:
            return False
        generation.add(hashed)
        self._count += 1
        if self._count > self._limit:
            self._forget_oldest()
        return True

    def _forget_oldest(self) -> None:
        gone = len(self._generations.pop(min(self._generations)))
        self._count -= gone
        self.forgotten_total += gone
