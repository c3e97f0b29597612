"""What the server knows of a venue: frames to send, answers to a client, and the interface of a dialect."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Literal, Protocol, runtime_checkable

from msgspec import Struct

from liqtape.simulator.faults import Faults
from liqtape.simulator.generator import TrueLiquidation
from liqtape.simulator.listings import Listing

__all__ = [
    "Answer",
    "Arrival",
    "ClientSession",
    "Dialect",
    "FollowsAccounts",
    "Frame",
    "FrameKind",
    "Reply",
    "RestRequest",
    "SentRow",
    "ServerLimits",
    "VenuePublisher",
]

FrameKind = Literal["liquidation", "other_topic", "control", "garbage"]


class ServerLimits(Struct, frozen=True):
    """The venues' limits of a connection; tests shorten them."""

    binance_ping_seconds: float = 180.0
    binance_pong_seconds: float = 600.0
    binance_messages_per_second: int = 10
    # The documentation says 1024 on one page and 200 on another: the stricter one finds more mistakes.
    binance_streams: int = 200
    bybit_idle_seconds: float = 600.0
    bybit_args_characters: int = 21_000
    bybit_rows: int = 100
    bybit_page: int = 1_000
    okx_idle_seconds: float = 30.0
    okx_page: int = 100
    hyperliquid_idle_seconds: float = 60.0
    hyperliquid_users: int = 10
    hyperliquid_subscriptions: int = 1_000
    hyperliquid_page: int = 2_000


class SentRow(Struct, frozen=True):
    """One liquidation as a venue prints it; `price` and `size` are the wire's decimal strings."""

    serial: int
    venue: str
    symbol: str
    side: Literal["long", "short"]
    price: str
    size: str
    event_ms: int


class Arrival(Struct, frozen=True):
    """A true liquidation with its date, at the moment it reaches the venue's publisher."""

    liquidation: TrueLiquidation
    event_ms: int
    arrived_ms: int
    """Later than `event_ms` only for the fault that delays."""


class Frame(Struct, frozen=True):
    """One message for everybody who follows one of its topics; no topic means every follower of liquidations."""

    kind: FrameKind
    topics: tuple[str, ...]
    body: bytes
    rows: tuple[SentRow, ...] = ()
    fault: str = ""
    snapshot: bool = False
    """What had happened before the client subscribed."""


class Reply(Struct, frozen=True):
    """Answers to one message of the client, and the code to hang up with afterwards (0: stay)."""

    frames: Sequence[bytes] = ()
    close_code: int = 0
    more: Sequence[Frame] = ()
    """What a subscription brings at once: a snapshot, past trades, the last message again."""


class RestRequest(Struct, frozen=True):
    """One REST request."""

    path: str
    query: Mapping[str, str]
    method: str = "GET"
    body: bytes = b""


class Answer(Struct, frozen=True):
    """The JSON answer to it, and the liquidations it tells of."""

    body: object
    status: int = 200
    rows: tuple[SentRow, ...] = ()


class ClientSession(Protocol):
    """One client's side of a venue: what it subscribed, what it is answered. Venues inherit the rules they lack."""

    idle_seconds: float | None = None
    """The venue hangs up after so long a silence."""
    idle_by: Literal["heard", "said", "sent"] = "heard"
    """Whose silence: nothing heard of the client, not even a ping frame; no message of it; nothing sent to it."""
    idle_code: int = 1001
    ping_seconds: float | None = None
    pong_seconds: float = 0.0
    refusals: dict[str, int] | None = None
    """How many more times each of these topics is refused when it is asked for by itself."""

    def refuses(self, topics: Sequence[str]) -> bool:
        """Whether a request for these topics is refused, as `Simulator.refuse_topic` says."""
        refusals = self.refusals or {}
        if not any(refusals.get(topic) for topic in topics):
            return False
        if len(topics) == 1:
            refusals[topics[0]] -= 1
        return True

    @property
    def follows_liquidations(self) -> bool: ...

    def received(self, text: str, now_ms: int) -> Reply: ...

    def payloads(self, frame: Frame) -> list[bytes]:
        """The messages this client gets for a frame: one for each of its topics it follows."""
        ...

    def notice(self) -> bytes | None:
        """The announcement that this connection will soon be closed, where the venue has one."""
        return None

    def ended(self) -> bool:
        """The connection is over; says whether something was given back."""
        return False


class VenuePublisher(Protocol):
    """One venue at work: its batches and throttles, the conversations it holds, its REST answers."""

    def add(self, arrival: Arrival) -> None: ...

    def due(self, now_ms: int) -> list[Frame]:
        """The frames that are due."""
        ...

    def flush(self) -> list[Frame]: ...

    def stepped(self) -> None:
        """The venue's clock has stepped: what was to come at a time of it comes now."""
        ...

    def trades(self, now_ms: int, price: Callable[[Listing], float]) -> list[Frame]: ...

    def converse(self, path: str, query: Mapping[str, str], number: int) -> ClientSession | None:
        """The conversation a WebSocket path opens, or None where the venue has nothing."""
        ...

    def rest(self, asked: RestRequest, now_ms: int) -> Answer | None:
        """The answer to a REST request, or None where the venue has nothing."""
        ...


@runtime_checkable
class FollowsAccounts(Protocol):
    """What a publisher offers whose liquidations are told only to who follows the fills of accounts."""

    def follow(self, accounts: Sequence[str]) -> None:
        """Print the fills of these accounts, as for a client that subscribed them."""


class Dialect(Protocol):
    """One venue; a module satisfies it.

    What its symbols and sizes mean is worked by hand, apart from the decoder and from the listings: the recount and the
    demo judge by it.
    """

    @property
    def name(self) -> str: ...

    @property
    def refused_topic(self) -> str:
        """The topic of liquidations that the fault of this name refuses once; empty where it refuses none."""

    @property
    def broken_frames(self) -> Mapping[str, str]:
        """A frame broken in the manner of each fault that sends garbage, with `%d` for the time."""

    @property
    def broken_topic(self) -> str:
        """Whose followers get these frames; empty: all who follow liquidations."""

    def instrument_of(self, symbol: str) -> str:
        """Return our name of a symbol."""

    def usd_of(self, symbol: str, price: Decimal, size: Decimal) -> Decimal:
        """Return what a size is worth in USD, without rounding."""

    def publisher(self, seed: int, limits: ServerLimits, faults: Faults) -> VenuePublisher: ...
