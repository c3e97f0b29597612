"""What the server knows of a venue: frames to send, answers to a client, and the interface of a dialect."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from liqtape.simulator.generator import TrueLiquidation
from liqtape.simulator.listings import Listing

__all__ = ["Arrival", "Conversation", "Dialect", "Frame", "FrameKind", "Limits", "Publisher", "Reply", "Row"]

FrameKind = Literal["liquidation", "other_topic", "control", "garbage"]


class Limits(Struct, frozen=True):
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


class Row(Struct, frozen=True):
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
    rows: tuple[Row, ...] = ()
    fault: str = ""


class Reply(Struct, frozen=True):
    """Answers to one message of the client, and the code to hang up with afterwards (0: stay)."""

    frames: Sequence[bytes] = ()
    close_code: int = 0


class Conversation(Protocol):
    """One client's side of a venue: what it subscribed, what it is answered."""

    idle_seconds: float | None
    """The venue hangs up on a client that sent nothing for so long."""
    ping_seconds: float | None
    pong_seconds: float

    @property
    def follows_liquidations(self) -> bool: ...

    def received(self, text: str, now_ms: int) -> Reply: ...

    def payloads(self, frame: Frame) -> list[bytes]:
        """The messages this client gets for a frame: one for each of its topics it follows."""
        ...


class Publisher(Protocol):
    """One venue's way of batching and throttling; gives the frames that are due."""

    def add(self, arrival: Arrival) -> None: ...

    def due(self, now_ms: int) -> list[Frame]: ...

    def flush(self) -> list[Frame]: ...

    def trades(self, now_ms: int, price: Callable[[Listing], float]) -> list[Frame]: ...


class Dialect(Protocol):
    """One venue; a module satisfies it."""

    @property
    def name(self) -> str: ...

    def converse(self, path: str, query: Mapping[str, str], number: int, limits: Limits) -> Conversation | None:
        """The conversation a WebSocket path opens, or None where the venue has nothing."""
        ...

    def publisher(self, seed: int, limits: Limits) -> Publisher: ...

    def rest(self, path: str, query: Mapping[str, str], now_ms: int, limits: Limits) -> object | None:
        """The JSON answer of a REST path, or None where the venue has nothing."""
        ...
