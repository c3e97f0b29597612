"""What a venue is: constants and pure functions. Bytes in, events out; nothing opens, waits or looks at a clock."""

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Annotated, Protocol, TypeVar, runtime_checkable

import msgspec
from msgspec import Meta, Struct

from liqtape.errors import DecodeError
from liqtape.events import Event, Invalid, PriceKind, Unit
from liqtape.instruments import LONGEST_SYMBOL, Contract
from liqtape.venues.limits import Limits, RateLimit

__all__ = [
    "MALFORMED",
    "Amount",
    "Archived",
    "ArchivedExchange",
    "BackfillPage",
    "BackfillRequest",
    "Backfills",
    "DecodesBatches",
    "Endpoint",
    "Heartbeat",
    "InstrumentPage",
    "InstrumentSource",
    "OffersAlternatives",
    "PriceSource",
    "Stamp",
    "Symbol",
    "Venue",
    "WatchesAccounts",
    "batched",
    "beyond",
    "invalid_reason",
    "invalid_row",
    "is_partial",
    "joined",
    "plain_decimal",
    "rows_of",
    "yymmdd",
]

EARLIEST_MS = 1_262_304_000_000  # 2010: seconds instead of milliseconds are far below
LATEST_MS = 4_102_444_800_000  # 2100: microseconds are far above

_DIGITS = re.compile(r"[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")

# No price or size of any market is beyond these; their products and quotients are finite.
_LEAST, _MOST = 1e-18, 1e18

# What `invalid_reason` asks, as types: a decoder checks them for 20 ns a row, the same comparisons in Python cost 150
# ns.
Amount = Annotated[float, Meta(gt=_LEAST, lt=_MOST)]
Stamp = Annotated[int, Meta(ge=EARLIEST_MS, lt=LATEST_MS)]
Symbol = Annotated[str, Meta(min_length=1, max_length=LONGEST_SYMBOL)]  # characters here; `is_symbol` counts bytes

MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What a decoder raises for bytes that are not what it was told to expect."""

Row_co = TypeVar("Row_co", covariant=True)


class _Decoder(Protocol[Row_co]):
    def decode(self, buf: msgspec.Raw, /) -> Row_co: ...


class Heartbeat(Struct, frozen=True):
    """What to send how often (seconds); `only_when_idle` restarts the clock with every frame received."""

    frame: bytes
    every: float
    only_when_idle: bool = False


class Endpoint(Struct, frozen=True):
    """One connection: where, and the topics to subscribe there.

    The topics include a chatty one (`canary`) besides the liquidations, so that silence means something;
    `silence_limit` is how many seconds without market data make the feed stalled.
    """

    url: str
    topics: tuple[str, ...]
    silence_limit: float
    canary: str = ""


class InstrumentSource(Struct, frozen=True):
    """A REST page of the venue's instruments: default host and path with query; with a `body` it is a POST of JSON.

    `may_be_empty`: what it tells of need not exist; of others an empty answer is none.
    """

    host: str
    path: str
    body: bytes = b""
    may_be_empty: bool = False


class PriceSource(Struct, frozen=True):
    """Where BTC trades can be had: `symbol` is the one whose trades are the price, `path` and `topic` subscribe it.

    The source on the venue's own stream bears the venue's name.
    """

    name: str
    venue: str
    symbol: str
    host: str
    path: str
    topic: str


class ArchivedExchange(Struct, frozen=True):
    """A venue as Tardis names it, and what its amounts count: of linear contracts and of inverse ones."""

    name: str
    linear: Unit
    inverse: Unit
    price_kind: PriceKind


class InstrumentPage(Struct, frozen=True):
    """Contracts of one REST answer; `next_query` is to be added to the path for the next page, empty at the end."""

    contracts: list[Contract]
    next_query: str = ""


class BackfillRequest(Struct, frozen=True):
    """A REST page of past liquidations: default host, path with query; with a `body` it is a POST of JSON.

    `subject` is what the answer does not name, as the account; `before` how many rows earlier pages brought.
    """

    host: str
    path: str
    body: bytes = b""
    subject: str = ""
    before: int = 0


class BackfillPage(Struct, frozen=True):
    """Events of one REST answer, all of them `replayed`, and the request of the next page.

    `whole` is False where the venue is known to keep something back.
    """

    events: list[Event]
    following: BackfillRequest | None = None
    whole: bool = True


class Venue(Protocol):
    """A module satisfies it: what differs between venues is a constant or a function here, never an `if venue ==`."""

    @property
    def name(self) -> str: ...

    @property
    def on_by_default(self) -> bool:
        """Whether the venue is connected where the settings name none."""

    @property
    def ws_url(self) -> str:
        """Scheme and host of the public stream; a configured address replaces it."""

    @property
    def heartbeat(self) -> Heartbeat | None: ...

    @property
    def limits(self) -> Limits:
        """What the venue asks of its clients."""

    @property
    def topics_per_request(self) -> int:
        """Topics one subscribe frame may carry: 1 where the venue confirms topic by topic."""

    @property
    def slot_seconds(self) -> int | None:
        """Length of the slots in which the venue prints at most one liquidation a symbol; None: it prints all."""

    @property
    def max_publish_delay_ms(self) -> int:
        """How long after its time a liquidation may be sent: what is lost with a connection may be so much older."""

    @property
    def listing_needed(self) -> bool:
        """Whether liquidations are subscribed symbol by symbol, so that the list of instruments must be known."""

    @property
    def bundled_symbols(self) -> Sequence[str]:
        """Symbols to subscribe while the venue's own list cannot be had; empty where no list is needed."""

    @property
    def instrument_sources(self) -> Sequence[InstrumentSource]: ...

    @property
    def price_sources(self) -> Sequence[PriceSource]:
        """Where its BTC trades can be had as the price, the best first; empty where they are not taken for it."""

    def endpoints(self, symbols: Sequence[str]) -> list[Endpoint]:
        """Return the connections for these symbols' liquidations (for all, where the venue has one topic of all)."""

    def subscribe(self, request_id: str, topics: Sequence[str]) -> bytes:
        """Return the frame that subscribes `topics`."""

    def decode(self, payload: bytes, receive_ms: int | None) -> list[Event]:
        """Decode one frame into its events, in its order; none for a topic we do not use. Raises DecodeError."""

    def parse_symbol(self, symbol: str) -> Contract:
        """Return what a symbol means by its spelling and the bundled table."""

    def decode_instruments(self, payload: bytes) -> InstrumentPage:
        """Decode the contracts of a REST answer as downloaded. Raises DecodeError."""


@runtime_checkable
class DecodesBatches(Protocol):
    """What a venue offers whose frames of one liquidation can be decoded many at a time, at half the cost."""

    @property
    def batch_prefix(self) -> bytes | tuple[bytes, ...]:
        """How the frames begin that can be."""

    def decode_batch(self, payloads: Sequence[bytes], receive_ms: int | None) -> list[Event]:
        """Decode the event of each such frame, as by `decode`. Raises DecodeError where they must go one by one."""


@runtime_checkable
class Archived(Protocol):
    """What a venue offers whose liquidations are in the public archive of Tardis."""

    @property
    def archived_exchanges(self) -> Sequence[ArchivedExchange]:
        """The names it has there; which contracts are inverse its symbols say."""


@runtime_checkable
class OffersAlternatives(Protocol):
    """What a venue offers whose liquidations can be had at another address as well."""

    def alternatives(self, endpoint: Endpoint) -> list[Endpoint]:
        """Return the same liquidations elsewhere, to be tried in this order when the endpoint stays silent."""


@runtime_checkable
class Backfills(Protocol):
    """What a venue offers that tells of past liquidations, so that a gap can be closed."""

    @property
    def backfill_rate_limit(self) -> RateLimit:
        """Requests the venue allows."""

    @property
    def backfill_horizon_s(self) -> float:
        """How many seconds back the venue tells of."""

    def backfill_requests(self, from_ms: int, until_ms: int, subjects: Sequence[str]) -> list[BackfillRequest]:
        """Return the first pages for `[from_ms, until_ms]` of these symbols, or accounts where accounts are watched."""

    def decode_backfill(self, request: BackfillRequest, payload: bytes, receive_ms: int | None) -> BackfillPage:
        """Decode the events of an answer. Raises DecodeError."""


@runtime_checkable
class WatchesAccounts(Protocol):
    """What a venue without a public channel of liquidations offers besides: they are seen in the fills of accounts."""

    @property
    def partial_by_design(self) -> bool:
        """Whether part of the liquidations is never seen, however well the connection works."""

    @property
    def watch_list(self) -> Sequence[str]:
        """The accounts watched unless others are configured; `endpoints` are those of these."""

    def watching(self, accounts: Sequence[str]) -> list[Endpoint]:
        """Return the connections for the liquidations these accounts take part in. Raises ConfigurationError."""


def is_partial(venue: Venue) -> bool:
    """Return whether the venue shows only part of its liquidations: its numbers are labelled partial everywhere."""
    return isinstance(venue, WatchesAccounts) and venue.partial_by_design


def invalid_reason(price: float, size: float, event_ms: int) -> str:
    """Return why a row cannot be an event; empty when it can.

    >>> invalid_reason(1.0, 2.0, 1_790_000_000_000), invalid_reason(1.0, 2.0, 1_790_000_000)
    ('', 'event time')
    """
    if not _LEAST < price < _MOST:
        return "price"
    if not _LEAST < size < _MOST:
        return "size"
    return "" if EARLIEST_MS <= event_ms < LATEST_MS else "event time"


def plain_decimal(text: str) -> Decimal:
    """Return the number that a text says in digits of ours; not a number where it says it otherwise.

    >>> plain_decimal("0.010"), plain_decimal("1_0"), plain_decimal("3 coins")
    (Decimal('0.010'), Decimal('NaN'), Decimal('NaN'))
    """
    return Decimal(text) if _DIGITS.fullmatch(text) else Decimal("NaN")


def invalid_row(venue: str, reason: str, row: object) -> Invalid:
    """Return an `Invalid` with the row as JSON text, cut to a length fit for a log."""
    text = bytes(row) if isinstance(row, msgspec.Raw) else msgspec.json.encode(row)
    return Invalid(venue, reason, text[:300].decode(errors="replace"))


def rows_of(venue: str, raws: Iterable[msgspec.Raw], decoder: _Decoder[Row_co]) -> list[Row_co | Invalid]:
    """Decode rows one by one, the malformed as `Invalid`: the way back when a frame does not decode as a whole.

    Raises DecodeError when no row is well formed: then it is the frame that is not what the venue documents.
    """
    rows: list[Row_co | Invalid] = []
    error: msgspec.MsgspecError | None = None
    sound = 0
    for raw in raws:
        try:
            rows.append(decoder.decode(raw))
            sound += 1
        except msgspec.MsgspecError as exc:
            error = exc
            rows.append(invalid_row(venue, str(exc), raw))
    if error is not None and not sound:
        raise DecodeError(f"{venue}: {error}") from error
    return rows


def joined(payloads: Sequence[bytes]) -> bytes:
    """Join JSON objects to one JSON array. Who decodes it must find as many elements as there were objects.

    >>> joined([b'{"a":1}', b'{"a":2}'])
    b'[{"a":1},{"a":2}]'
    """
    return b"[%b]" % b",".join(payloads)


def beyond(prefix: bytes) -> bytes:
    """Return the least bytes above all that begin with it: `prefix <= payload < beyond(prefix)` is `startswith`.

    That takes half the time, which shows where it is asked of each frame.

    >>> beyond(b"ab"), b"ab" <= b"abz" < beyond(b"ab"), b"ab" <= b"ac" < beyond(b"ab")
    (b'ac', True, False)
    """
    return prefix[:-1] + bytes([prefix[-1] + 1])


def batched(topics: Sequence[str], limit: int) -> list[tuple[str, ...]]:
    """Split the topics into runs of at most `limit`.

    >>> batched(["a", "b", "c"], 2)
    [('a', 'b'), ('c',)]
    """
    return [tuple(topics[i : i + limit]) for i in range(0, len(topics), limit)]


def yymmdd(at_ms: int) -> str:
    """Return the UTC date of a stamp as dated symbols have it (proleptic Gregorian, by days since 0000-03-01).

    >>> yymmdd(1_798_185_600_000)
    '261225'
    """
    day = at_ms // 86_400_000 + 719_468
    era, day_of_era = divmod(day, 146_097)
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * day_of_year + 2) // 153
    month = month_from_march + 3 if month_from_march < 10 else month_from_march - 9
    year = year_of_era + 400 * era + (month <= 2)
    return f"{year % 100:02}{month:02}{day_of_year - (153 * month_from_march + 2) // 5 + 1:02}"
