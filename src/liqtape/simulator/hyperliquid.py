"""Hyperliquid: subscriptions to users and coins, fills for those who are watched, trades.

Facts: nobody is told of all liquidations. A user's fills are public, and those that were part of a liquidation say so;
ten users can be watched from one address. `userFills` begins with a snapshot, `trades` with about thirty past trades.
Whoever was sent nothing for 60 s is hung up on, with the code of a normal end. Partial fills are never aggregated here.
"""

import json
import random
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec import Struct

from liqtape.simulator.faults import Faults
from liqtape.simulator.generator import Side, TrueLiquidation
from liqtape.simulator.hyperliquid_fills import SPOT, Fill, Match, Trader
from liqtape.simulator.hyperliquid_rest import rest
from liqtape.simulator.hyperliquid_words import broken_frames, broken_topic, instrument_of, usd_of
from liqtape.simulator.listings import MARKETS, Listing, listing
from liqtape.simulator.wire import Answer, Arrival, ClientSession, Frame, Reply, RestRequest, ServerLimits

__all__ = ["broken_frames", "broken_topic", "instrument_of", "name", "publisher", "refused_topic", "usd_of"]

name = "hyperliquid"
refused_topic = ""

_COINS = {item.symbol: item for item in (*MARKETS[name], SPOT)}
_FILLS = "userFills:"
_KEPT_FILLS = 50_000
_PAST_TRADES = 30
_PAST_LIQUIDATIONS = 60
_PAST_MS = (400_000, 6 * 3_600_000)


class _Request(Struct):
    """What a client may send."""

    method: str
    subscription: dict[str, object] = {}


class _ClientSession(ClientSession):
    """The subscriptions of one connection."""

    idle_by = "sent"
    idle_code = 1000

    def __init__(self, venue: "_Publisher", limits: ServerLimits) -> None:
        self.idle_seconds = limits.hyperliquid_idle_seconds
        self._limits = limits
        self._venue = venue
        self._topics: dict[str, None] = {}

    @property
    def follows_liquidations(self) -> bool:
        return any(topic.startswith(_FILLS) for topic in self._topics)

    def received(self, text: str, now_ms: int) -> Reply:
        bad = Reply([_error(f"Error parsing JSON into valid websocket request: {text}")])
        try:
            request = msgspec.json.decode(text, type=_Request)
        except msgspec.MsgspecError:
            return bad
        if request.method == "ping":
            return Reply([b'{"channel":"pong"}'])
        topic = _topic(request.subscription)
        if topic is None or request.method not in ("subscribe", "unsubscribe"):
            return bad
        if request.method == "subscribe":
            return self._subscribe(request.subscription, topic, now_ms)
        if topic not in self._topics:
            return Reply([_error(f"Already unsubscribed: {_json(request.subscription)}")])
        del self._topics[topic]
        self._venue.watched.subtract([topic])
        return Reply([_acknowledged(request)])

    def _subscribe(self, wanted: dict[str, object], topic: str, now_ms: int) -> Reply:
        kind, _, subject = topic.partition(":")
        if topic in self._topics:
            return Reply([_error(f"Already subscribed: {_json(wanted)}")])
        if len(self._topics) >= self._limits.hyperliquid_subscriptions:
            return Reply([_error(f"Cannot subscribe to more than {self._limits.hyperliquid_subscriptions} channels.")])
        if kind == "trades" and subject not in _COINS:
            return Reply(close_code=1008)  # a coin that is not listed may end the connection
        if kind == "userFills" and not self._venue.may_watch(topic):
            return Reply([_error(f"Cannot track more than {self._limits.hyperliquid_users} total users.")])
        self._topics[topic] = None
        self._venue.watched.update([topic])
        first = self._venue.snapshot(subject, now_ms) if kind == "userFills" else self._venue.past(subject, now_ms)
        return Reply([_acknowledged(_Request("subscribe", wanted))], more=[first])

    def payloads(self, frame: Frame) -> list[bytes]:
        if not frame.topics:
            return [frame.body] if self.follows_liquidations else []
        return [frame.body for topic in frame.topics if topic in self._topics]

    def ended(self) -> bool:
        self._venue.watched.subtract(list(self._topics))
        return bool(self._topics)


def _topic(wanted: dict[str, object]) -> str | None:
    """What a subscription is about, `userFills:0x...` or `trades:BTC`; None for what does not exist."""
    user, coin = wanted.get("user"), wanted.get("coin")
    if wanted.get("type") == "userFills" and isinstance(user, str):
        try:
            return _FILLS + user.lower() if len(user) == 42 and int(user, 16) >= 0 else None
        except ValueError:
            return None
    return f"trades:{coin}" if wanted.get("type") == "trades" and isinstance(coin, str) else None


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _error(text: str) -> bytes:
    return _json({"channel": "error", "data": text}).encode()


def _acknowledged(request: _Request) -> bytes:
    said = {"method": request.method, "subscription": request.subscription}
    return _json({"channel": "subscriptionResponse", "data": said}).encode()


class _Publisher:
    """The venue's matches, what its users saw of them, and who is watched."""

    def __init__(self, seed: int, limits: ServerLimits, faults: Faults | None) -> None:
        self.watched: Counter[str] = Counter()
        self._limits = limits
        self._seed = seed
        self._faults = Faults((), seed) if faults is None else faults
        self._random = random.Random(f"{seed}:hyperliquid")
        self._trader = Trader(f"{seed}:hyperliquid:matches")
        self._fills: deque[Fill] = deque(maxlen=_KEPT_FILLS)
        self._trades: dict[str, deque[Match]] = {}
        self._waiting: list[tuple[Match, list[Fill]]] = []
        self._next_trade_ms = 0

    def add(self, arrival: Arrival) -> None:
        self._begin(arrival.arrived_ms)
        self._waiting += self._trader.liquidate(arrival.liquidation, arrival.event_ms)

    def due(self, now_ms: int) -> list[Frame]:
        self._begin(now_ms)
        return self.flush()

    def flush(self) -> list[Frame]:
        made, self._waiting = self._waiting, []
        return self._frames(made)

    def trades(self, now_ms: int, price: Callable[[Listing], float]) -> list[Frame]:
        if now_ms < self._next_trade_ms:
            return []
        self._next_trade_ms = now_ms + self._random.randint(100, 250)
        bitcoin = self._random.random() < 0.6
        item = listing(name, "BTC") if bitcoin else self._random.choice(list(_COINS.values()))
        at = price(item)
        return self._frames([self._ordinary(item, at, now_ms) for _ in range(self._random.randint(1, 3))])

    def stepped(self) -> None:
        self._next_trade_ms = 0

    def converse(self, path: str, query: Mapping[str, str], number: int) -> _ClientSession | None:  # noqa: ARG002
        return _ClientSession(self, self._limits) if path.strip("/") == "ws" else None

    def rest(self, asked: RestRequest, now_ms: int) -> Answer | None:
        self._begin(now_ms)
        return rest(asked, self._fills_of, lambda coin: self._trades.get(coin, deque()), self._limits)

    def follow(self, accounts: Sequence[str]) -> None:
        """Print the fills of these accounts, as for a client that subscribed them."""
        session = _ClientSession(self, self._limits)
        for account in accounts:
            subscription = {"type": "userFills", "user": account}
            session.received(json.dumps({"method": "subscribe", "subscription": subscription}), 0)

    def may_watch(self, topic: str) -> bool:
        """Whether a user's fills may be followed: so many users an address, and all clients here have one address."""
        users = {watched for watched, count in self.watched.items() if count > 0 and watched.startswith(_FILLS)}
        return topic in users or len(users) < self._limits.hyperliquid_users

    def snapshot(self, user: str, now_ms: int) -> Frame:
        """The newest fills of a user, newest first."""
        self._begin(now_ms)
        newest = self._fills_of(user)[::-1]
        newest = newest[self._faults.stale(len(newest)) :][: self._limits.hyperliquid_page]
        return _user_fills(user, newest, snapshot=True)

    def past(self, coin: str, now_ms: int) -> Frame:
        """The trades a follower of a coin gets first."""
        self._begin(now_ms)
        return _trades(coin, list(self._trades.get(coin, ())))

    def _fills_of(self, user: str) -> list[Fill]:
        return [fill for fill in self._fills if fill.user == user]

    def _begin(self, now_ms: int) -> None:
        """Invents what happened before the first client came; later calls do nothing."""
        if self._trades:
            return
        dice = random.Random(f"{self._seed}:hyperliquid:past")
        moments = sorted(now_ms - dice.randint(*_PAST_MS) for _ in range(_PAST_LIQUIDATIONS))
        for time in moments:
            self._frames(self._trader.liquidate(_past_liquidation(dice), time))
        for ago in range(_PAST_TRADES, 0, -1):
            for item in _COINS.values():
                self._frames([self._ordinary(item, item.price, now_ms - 900 * ago)])

    def _ordinary(self, item: Listing, price: float, time: int) -> tuple[Match, list[Fill]]:
        usd = self._random.expovariate(1 / 4_000)
        return self._trader.ordinary(item, item.price_text(price), item.size_text(usd, price), time)

    def _frames(self, made: list[tuple[Match, list[Fill]]]) -> list[Frame]:
        """Keeps what was made, and gives the messages of it to whom it concerns: one a coin and one a user."""
        by_coin: dict[str, list[Match]] = {}
        by_user: dict[str, list[Fill]] = {}
        for match, fills in made:
            self._trades.setdefault(match.coin, deque(maxlen=_PAST_TRADES)).append(match)
            self._fills.extend(fills)
            if self.watched[f"trades:{match.coin}"]:
                by_coin.setdefault(match.coin, []).append(match)
            for fill in fills:
                if self.watched[_FILLS + fill.user]:
                    by_user.setdefault(fill.user, []).append(fill)
        return [
            *(_trades(coin, matches) for coin, matches in by_coin.items()),
            *(_user_fills(user, fills) for user, fills in by_user.items()),
        ]


def publisher(seed: int, limits: ServerLimits, faults: Faults | None = None) -> _Publisher:
    """The venue's publisher for one run of the market."""
    return _Publisher(seed, limits, faults)


def _past_liquidation(dice: random.Random) -> TrueLiquidation:
    item = dice.choice(MARKETS[name])
    fill = item.price * (1 + dice.gauss(0.0, 0.002))
    size = item.size_text(dice.lognormvariate(6.5, 1.5), fill)
    side: Side = "long" if dice.random() < 0.6 else "short"
    price = item.price_text(fill)
    return TrueLiquidation(0, 0, item, side, price, price, size)


def _trades(coin: str, matches: list[Match]) -> Frame:
    body = _json({"channel": "trades", "data": [match.printed() for match in matches]})
    return Frame("other_topic", (f"trades:{coin}",), body.encode())


def _user_fills(user: str, fills: list[Fill], *, snapshot: bool = False) -> Frame:
    rows = tuple(fill.row for fill in fills if fill.row is not None)
    first = '"isSnapshot":true,' if snapshot else ""
    texts = ",".join(fill.text for fill in fills)
    body = f'{{"channel":"userFills","data":{{{first}"user":"{user}","fills":[{texts}]}}}}'
    return Frame("liquidation" if rows else "other_topic", (_FILLS + user,), body.encode(), rows, snapshot=snapshot)
