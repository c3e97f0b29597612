"""Identity: which events were seen before. Keys are kept by event time, oldest forgotten first."""

from array import array
from bisect import bisect_left, bisect_right
from struct import Struct

from liqtape.events import RawLiquidation

__all__ = ["Identities", "identity"]

_MINUTE_MS = 60_000
_NEVER_MS = -(1 << 63)
_NEAR = 4_096  # before so many a late key is put in at once, in a microsecond
_MOST_PENDING = 2_048
_FEW = 32
_CROWD = 16_384  # ordered within 5 ms
_doubles = Struct(">dd").pack


def identity(raw: RawLiquidation) -> str:
    """The stable identity of an event, from the fields its venue cannot repeat (venues reference, section 10).

    Size and price stand as the hexadecimal of their doubles: as exact as their decimals, at 170 ns instead of 440.
    Equal rows of one frame that are distinct liquidations (Bybit) bear their number, so a copy of the whole frame gives
    the same identities again: the most copies in one frame count, further copies later are repeats.

    >>> identity(RawLiquidation("bybit", "A", "long", 2.5, "bankruptcy", 7.0, "base", 1_790_000_000_000, copy=2))
    'A:1790000000000:long:401c0000000000004004000000000000#2'
    """
    if raw.native_id:
        return f"{raw.symbol}:{raw.event_ms}:{raw.native_id}"
    key = f"{raw.symbol}:{raw.event_ms}:{raw.venue_side or raw.side}:{_doubles(raw.size, raw.price).hex()}"
    return key if raw.copy == 1 else f"{key}#{raw.copy}"


class Identities:
    """The identities seen at one venue, at most `limit`; when full the oldest minute of event time is forgotten.

    `event_ms` is part of what a key identifies: the same key of another time is another. Holds 64-bit hashes, so that
    two different events of one millisecond collide once in some 10^17; in arrays ordered by event time, so that one
    takes 17 bytes, where a set would take 119. Those of one time are ordered by hash, few when a late key asks for
    them, many before: so a crowd is never looked through. A late key waits in a set where many are newer, and those
    that wait are put in their places together.

    >>> seen = Identities()
    >>> seen.is_new("a", 1_000), seen.is_new("a", 1_000)
    (True, False)
    """

    def __init__(self, limit: int = 1_000_000) -> None:
        self.forgotten_total = 0
        self._limit = limit
        self._times = array("q")
        self._hashes = array("q")
        # What was seen of the newest time, where nearly all come; in the arrays not in order yet.
        self._newest_ms = _NEVER_MS
        self._newest: set[int] = set()
        self._pending: set[tuple[int, int]] = set()  # time and hash of late ones
        self._room = limit  # for what is in the arrays

    def __len__(self) -> int:
        return len(self._times) + len(self._pending)

    def is_new(self, key: str, event_ms: int) -> bool:
        """Whether `key` was not seen before; from now on it was. O(1) in order, else O(log n) and its share of O(n)
        for a thousand late ones.
        """
        hashed = hash(key)
        if event_ms > self._newest_ms:
            if len(self._newest) > _FEW:
                self._order_newest()
            self._newest_ms = event_ms
            self._newest = {hashed}
        elif event_ms < self._newest_ms:
            return self._is_new_late(hashed, event_ms)
        elif hashed in self._newest:
            return False
        else:
            self._newest.add(hashed)
            if len(self._newest) > _CROWD:
                return self._is_crowded(hashed)
        self._times.append(event_ms)
        self._hashes.append(hashed)
        if len(self._times) > self._room:
            self._forget_oldest()
        return True

    def _order_newest(self) -> None:
        self._hashes[-len(self._newest) :] = array("q", sorted(self._newest))

    def _is_crowded(self, hashed: int) -> bool:
        """Take the key as a late one, and those of this time that follow: to order too many at once takes long."""
        self._newest.remove(hashed)
        self._order_newest()
        self._newest_ms += 1
        self._newest = set()
        return self._is_new_late(hashed, self._newest_ms - 1)

    def _is_new_late(self, hashed: int, event_ms: int) -> bool:
        times, hashes = self._times, self._hashes
        end = bisect_right(times, event_ms)
        start = bisect_left(times, event_ms, 0, end)
        if 1 < end - start <= _FEW:
            hashes[start:end] = array("q", sorted(hashes[start:end]))
        place = bisect_left(hashes, hashed, start, end)
        if (place < end and hashes[place] == hashed) or (event_ms, hashed) in self._pending:
            return False
        if len(times) - place <= _NEAR:
            times.insert(end, event_ms)
            hashes.insert(place, hashed)
        else:
            self._pending.add((event_ms, hashed))
            if len(self._pending) > _MOST_PENDING:
                self._settle()
        self._room = self._limit - len(self._pending)
        if len(times) > self._room:
            self._forget_oldest()
        return True

    def _settle(self) -> None:
        """Put what is pending in its places: O(n), in slices."""
        times, hashes = self._times, self._hashes
        newer_times, newer_hashes = array("q"), array("q")
        first = done = bisect_left(times, min(self._pending)[0])
        for event_ms, hashed in sorted(self._pending):
            end = bisect_right(times, event_ms, done)
            place = bisect_left(hashes, hashed, bisect_left(times, event_ms, done, end), end)
            newer_times += times[done:place]
            newer_hashes += hashes[done:place]
            newer_times.append(event_ms)
            newer_hashes.append(hashed)
            done = place
        times[first:] = newer_times + times[done:]
        hashes[first:] = newer_hashes + hashes[done:]
        self._pending.clear()
        self._room = self._limit

    def _forget_oldest(self) -> None:
        if self._pending:
            self._settle()
        gone = bisect_left(self._times, (self._times[0] // _MINUTE_MS + 1) * _MINUTE_MS)
        del self._times[:gone], self._hashes[:gone]
        self.forgotten_total += gone
        if not self._times:
            self._newest_ms = _NEVER_MS
            self._newest = set()
