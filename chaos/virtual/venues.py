"""The venues of the world: each speaks its protocol in the simulator's dialect, over connections without sockets."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from chaos.virtual.book import Book
from chaos.virtual.virtualsocket import VirtualSocket
from chaos.virtual.world import VirtualWorld

from liqtape.feeds.disconnects import Disconnected
from liqtape.simulator.dialects import DIALECTS
from liqtape.simulator.faults import Faults
from liqtape.simulator.generator import Side, TrueLiquidation
from liqtape.simulator.listings import MARKETS, Listing
from liqtape.simulator.wire import Arrival, FollowsAccounts, Frame, RestRequest, ServerLimits
from liqtape.venues.hyperliquid import watch_list

if TYPE_CHECKING:
    from chaos.virtual.virtualloop import VirtualLoop

__all__ = ["VirtualVenue"]

_TRADE_SECONDS = (0.8, 1.7)
_PUSH_SECONDS = 0.05
_BUSY_NS = 4_000_000_000  # the longest that a venue holds anything back, and more


class VirtualVenue:
    """One venue. Its attributes are its troubles; `begin` lets it print."""

    def __init__(self, name: str, world: VirtualWorld, book: Book, seed: int) -> None:
        self.name = name
        self.world = world
        self.skew_ms = 0
        self.is_deaf = False  # no connection is made, none is answered
        self.is_mute = False  # nothing of what it sends arrives
        self.is_silent = False  # prints nothing to anybody
        self.status = 0  # with which handshakes are refused
        self.rest_fault = ""
        self.shut_until_ns = 0  # until then the way is shut, and all comes at once
        self.slow_seconds = 0.0
        self.duplicates = self.reorders = 0.0  # how probable
        self.liquidations_per_second = 0.02
        self.refusals: dict[str, int] = {}
        self.sockets: dict[VirtualSocket, None] = {}
        self._book = book
        self._limits = ServerLimits()
        self._publisher = DIALECTS[name].publisher(seed, self._limits, Faults((), seed))
        if isinstance(self._publisher, FollowsAccounts):
            self._publisher.follow(watch_list)
        self._listings = MARKETS[name if name in MARKETS else ""]
        self._listings = tuple(item for item in self._listings if item.venue == name)
        self._shares = [item.share for item in self._listings]
        self._dice = world.dice
        self._numbers = 0
        self._serial = 0
        self._round = 0
        self._busy_until_ns = 0
        self._is_pushing = False
        self._overtaken: list[Frame] = []
        self._newest_ms: dict[str, int] = {}

    @property
    def now_ms(self) -> int:
        """The venue's own clock."""
        return self.world.now_ms + self.skew_ms

    def way_seconds(self) -> float:
        """Return how long the next message is on its way."""
        return self._dice.uniform(0.01, 0.09) + (self._dice.uniform(0.3, 1.0) * self.slow_seconds)

    def begin(self) -> None:
        """Begin to trade and to liquidate."""
        self._liquidate_later()
        self._trade()

    def _trade(self) -> None:
        """Print trades, look whether a client fell silent, and go on a second later."""
        for frame in self._publisher.trades(self.now_ms, lambda item: item.price):
            self._print(frame)
        self._hang_up_idle()
        self.world.after(self._dice.uniform(*_TRADE_SECONDS), self._trade)

    def _push(self) -> None:
        """Print the liquidations that are due, again and again until none can be waiting."""
        frames, overtaken = self._publisher.due(self.now_ms), self._overtaken
        self._overtaken = []
        for frame in frames:
            if frame.kind == "liquidation" and self._dice.random() < self.reorders:
                self._overtaken.append(frame)
            else:
                self._print(frame)
        for frame in overtaken:
            self._print(frame)
        self._is_pushing = self.world.now_ns < self._busy_until_ns
        if self._is_pushing:
            self.world.after(_PUSH_SECONDS, self._push)

    def connect(
        self, url: str, loop: "VirtualLoop", receive: Callable[[bytes], None], on_lost: Callable[[], None]
    ) -> VirtualSocket:
        """Answer a handshake."""
        if self.status:
            raise Disconnected(f"http_{self.status}", f"HTTP {self.status} at the handshake")
        place = urlsplit(url)
        self._numbers += 1
        session = self._publisher.converse(place.path.strip("/"), dict(parse_qsl(place.query)), self._numbers)
        if session is None:
            raise Disconnected("http_404", "HTTP 404 at the handshake")
        session.refusals = self.refusals
        socket = VirtualSocket(self, session, loop, receive, on_lost, self._numbers)
        self.sockets[socket] = None
        self.world.note(f"{self.name} #{socket.number} opened {place.path}")
        return socket

    def hear(self, socket: VirtualSocket, frame: bytes) -> None:
        """Take in what a client said, and answer."""
        if not socket.is_open or self.is_deaf:
            return
        socket.said_ns = self.world.now_ns
        reply = socket.session.received(frame.decode(), self.now_ms)
        for payload in reply.frames:
            socket.give(payload)
        for more in reply.more:
            self._hand(socket, more, more.body, is_live=False)
        if reply.close_code:
            self.cut(socket, f"closed_{reply.close_code}")

    def cut(self, socket: VirtualSocket, cause: str) -> None:
        """End a connection."""
        self.world.note(f"{self.name} #{socket.number} {cause}")
        socket.end(Disconnected(cause, cause))

    def cut_all(self, cause: str) -> None:
        """End all connections."""
        for socket in list(self.sockets):
            self.cut(socket, cause)

    def forget(self, socket: VirtualSocket) -> None:
        """Let a connection go."""
        if self.sockets.pop(socket, self) is None:
            socket.session.ended()

    def step_clock(self, by_ms: int) -> None:
        """Set the clock; what waited for a time of the old one is printed before."""
        for frame in [*self._publisher.flush(), *self._overtaken]:
            self._print(frame)
        self._overtaken = []
        self.skew_ms += by_ms
        self._newest_ms.clear()
        self._publisher.stepped()

    def rest(self, path: str, query: dict[str, str], method: str, body: bytes, *, is_whole: bool) -> tuple[int, object]:
        """Answer a REST request; what is not whole when it comes tells nothing for certain."""
        answer = self._publisher.rest(RestRequest(path, query, method, body), self.now_ms)
        if answer is None:
            return 404, {}
        if is_whole:
            self._book.told(answer.rows, self.world.now_ms, self.skew_ms)
        return answer.status, answer.body

    def hurry(self, per_second: float) -> None:
        """Let liquidations come at another rate from now on."""
        self.liquidations_per_second = per_second
        self._liquidate_later()

    def _liquidate_later(self) -> None:
        self._round += 1
        number = self._round
        gap = self._dice.expovariate(self.liquidations_per_second)
        self.world.after(gap, lambda: self._liquidate(number))

    def _liquidate(self, number: int) -> None:
        if number != self._round:  # the rate is another one since
            return
        (item,) = self._dice.choices(self._listings, self._shares)
        # No two of one symbol in one ms: so each has a stamp of its own, and the book can tell them apart.
        event_ms = max(self.now_ms, self._newest_ms.get(item.symbol, 0) + 1)
        self._newest_ms[item.symbol] = event_ms
        self._publisher.add(Arrival(self._liquidation(item), event_ms, event_ms))
        self._busy_until_ns = self.world.now_ns + _BUSY_NS
        if not self._is_pushing:
            self._is_pushing = True
            self.world.after(_PUSH_SECONDS, self._push)
        self._liquidate_later()

    def _liquidation(self, item: Listing) -> TrueLiquidation:
        self._serial += 1
        price = item.price * (1 + self._dice.gauss(0.0, 2e-3))
        usd = math.exp(self._dice.gauss(6.5, 2.0))
        text = item.fill_text(price)
        side: Side = "long" if self._dice.random() < 0.55 else "short"
        return TrueLiquidation(
            self._serial,
            0,
            item,
            side,
            text,
            item.price_text(price),
            item.size_text(usd, price),
        )

    def _print(self, frame: Frame) -> None:
        if frame.rows:
            self._book.published(frame.rows, self.world.now_ms, self.skew_ms)
        if self.is_silent:
            return
        again = frame.kind == "liquidation" and self._dice.random() < self.duplicates
        for socket in list(self.sockets):
            for payload in socket.session.payloads(frame):
                self._hand(socket, frame, payload)
                if again:
                    self._hand(socket, frame, payload)

    def _hand(self, socket: VirtualSocket, frame: Frame, payload: bytes, *, is_live: bool = True) -> None:
        if not frame.rows:
            socket.give(payload)
        elif is_live:
            socket.give(payload, lambda: self._book.delivered(frame.rows, self.world.now_ms))
        else:
            socket.give(payload, lambda: self._book.told(frame.rows, self.world.now_ms, self.skew_ms))

    def _hang_up_idle(self) -> None:
        for socket in list(self.sockets):
            limit = socket.session.idle_seconds
            if limit is None or socket.session.idle_by != "said":
                continue
            if self.world.now_ns - socket.said_ns > limit * 1e9:
                self.cut(socket, f"closed_{socket.session.idle_code}")
