"""Hyperliquid's matches: who is on either side of a trade, and what each of the two sees as a fill.

Facts: the `liquidation` object stands on the fills of both sides, whatever `dir` says; the counterparty's `side` is the
opposite of the victim's; one liquidation is one fill for each maker that took a part of it, all of one time and hash.
An auto-deleveraging fill bears the object too, naming the liquidator whose position was closed against the maker.
"""

import json
import random
from decimal import Decimal

from msgspec import Struct

from liqtape.simulator.generator import TrueLiquidation
from liqtape.simulator.listings import Listing, trimmed
from liqtape.simulator.wire import SentRow

__all__ = ["LIQUIDATORS", "MAKERS", "SPOT", "STRATEGIES", "Fill", "Match", "Trader"]

STRATEGIES = (
    "0x010461c14e146ac35fe42271bdc1134ee31c703a",
    "0x31ca8395cf837de08b24da3f660e77761dfb974b",
    "0x469f690213c467c39a23efacfd2816896009d7d8",
)
"""The trading children of the venue's own vault, A, B and X."""

LIQUIDATORS = (
    "0x2e3d94f0562703b25c83308a05046ddaf9a8dd14",
    "0xb0a55f13d22f66e6d495ac98113841b2326e9540",
    "0x5e177e5e39c0f4e421f5865a6d8beed8d921cb70",
    "0x2ed5c4484ea3ff8b57d5f2fb152a40d9f2b68308",
)
"""Its children that take over what the book could not."""

MAKERS = tuple(f"0x{random.Random(f'maker {number}').getrandbits(160):040x}" for number in range(6))
"""Busy addresses of this simulation only; they show in the `users` of the trades."""

SPOT = Listing("hyperliquid", "@107", "HYPE", 34.2, "0.001", "0.01", base="HYPE", quote="USDC", settle="USDC")

# Parts of the counterparties; the rest are addresses that trade once. The real parts are not known.
_WEIGHTS = dict.fromkeys(STRATEGIES[:2], 0.2) | {STRATEGIES[2]: 0.03} | dict.fromkeys(MAKERS, 0.06)
_CROWD = 1.0 - sum(_WEIGHTS.values())
_WATCHED_VICTIM = 0.04
_BACKSTOP = 0.08
_DELEVERAGED = 0.5
_DELEVERAGING = "Auto-Deleveraging"
_NO_HASH = "0x" + "0" * 64
_WITHOUT_HASH = 0.28  # of all trades; it is no mark of anything


class Match(Struct, frozen=True):
    """One trade; `side` is the taker's, B or A."""

    coin: str
    px: str
    sz: str
    side: str
    time: int
    hash: str
    tid: int
    users: tuple[str, str]
    """Buyer and seller."""

    def printed(self) -> dict[str, object]:
        return {
            "coin": self.coin, "side": self.side, "px": self.px, "sz": self.sz, "time": self.time,
            "hash": self.hash, "tid": self.tid, "users": list(self.users),
        }  # fmt: skip


class Fill(Struct, frozen=True):
    """One side of a trade as its user sees it; `row` when it is a part of a liquidation."""

    user: str
    time: int
    coin: str
    text: str
    row: SentRow | None = None


class _Leg(Struct, frozen=True):
    """What one side of a trade does not share with the other."""

    user: str
    side: str
    start: Decimal
    direction: str = ""
    """Empty: as the start position says."""
    liquidation: dict[str, str] | None = None


class Trader:
    """Draws matches and writes both of their fills."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)
        self._oid = 515_445_455_983
        self._serial = 0

    def liquidate(self, true: TrueLiquidation, time: int) -> list[tuple[Match, list[Fill]]]:
        """The matches of one liquidation: with makers, or one with a liquidator and sometimes what follows of it."""
        victim = self._victim()
        long = true.side == "long"
        backstop = self._random.random() < _BACKSTOP
        takers = [self._random.choice(LIQUIDATORS)] if backstop else self._makers(but=victim)
        left = Decimal(true.size)
        mark = trimmed(true.fill, 1)
        about = {"liquidatedUser": victim, "markPx": mark, "method": "backstop" if backstop else "market"}
        common = self._hash()
        made: list[tuple[Match, list[Fill]]] = []
        for part, taker in zip(self._parts(true, len(takers)), takers, strict=False):
            px = self._px(true, 0 if backstop else len(made))
            match = self._match(true.listing.symbol, px, _text(part), victim, taker, sells=long, time=time, of=common)
            literal = f"Liquidated {self._random.choice(('Cross', 'Isolated'))} {true.side.capitalize()}"
            own = literal if backstop else f"Close {true.side.capitalize()}"
            theirs = literal if backstop and self._random.random() < 0.7 else ""
            row = self._row(match, true)
            legs = (
                _Leg(victim, "A" if long else "B", left if long else -left, own, about),
                _Leg(taker, "B" if long else "A", Decimal(0) if backstop else self._start(part), theirs, about),
            )
            made.append((match, [self._fill(match, leg, row) for leg in legs]))
            left -= part
        if backstop and self._random.random() < _DELEVERAGED:
            made.append(self._deleverage(true, takers[0], time))
        return made

    def ordinary(self, item: Listing, price: str, size: str, time: int) -> tuple[Match, list[Fill]]:
        """A trade between a taker from the crowd and whoever made the price."""
        taker = self._stranger()
        (maker,) = self._makers(but=taker, count=1)
        sells = self._random.random() < 0.5
        of = _NO_HASH if self._random.random() < _WITHOUT_HASH else self._hash()
        px, sz = trimmed(price, 1), trimmed(size, 1)
        match = self._match(item.symbol, px, sz, taker, maker, sells=sells, time=time, of=of)
        spot = item is SPOT
        sides = ((taker, "A" if sells else "B"), (maker, "B" if sells else "A"))
        legs = [
            _Leg(user, side, abs(self._start(Decimal(sz))) if spot else self._start(Decimal(sz)),
                 ("Buy" if side == "B" else "Sell") if spot else "")
            for user, side in sides
        ]  # fmt: skip
        return match, [self._fill(match, leg, None) for leg in legs]

    def _deleverage(self, true: TrueLiquidation, liquidator: str, time: int) -> tuple[Match, list[Fill]]:
        long = true.side == "long"
        (maker,) = self._makers(but=liquidator, count=1)
        size = Decimal(true.size)
        sz = _text(size)
        px = self._px(true, 0)
        match = self._match(true.listing.symbol, px, sz, liquidator, maker, sells=long, time=time, of=self._hash())
        about = {"liquidatedUser": liquidator, "markPx": trimmed(true.fill, 1), "method": "backstop"}
        legs = (
            _Leg(liquidator, "A" if long else "B", size if long else -size, _DELEVERAGING, about),
            _Leg(maker, "B" if long else "A", -size if long else size, _DELEVERAGING, about),
        )
        return match, [self._fill(match, leg, None) for leg in legs]

    def _match(  # noqa: PLR0913 - a trade has no fewer
        self, coin: str, px: str, sz: str, taker: str, maker: str, *, sells: bool, time: int, of: str
    ) -> Match:
        users = (maker, taker) if sells else (taker, maker)
        return Match(coin, px, sz, "A" if sells else "B", time, of, self._random.getrandbits(50), users)

    def _fill(self, match: Match, leg: _Leg, row: SentRow | None) -> Fill:
        size = Decimal(match.sz)
        usd = size * Decimal(match.px)
        direction = leg.direction or _direction(leg.side, leg.start, size)
        opens = direction.startswith("Open") or leg.direction in ("Buy", "Sell")
        gain = 0.0 if opens else self._random.gauss(0.0, 0.01) * float(usd)
        deleveraged = direction == _DELEVERAGING
        if leg.liquidation is not None and (deleveraged or leg.liquidation["liquidatedUser"] == leg.user):
            gain = -abs(gain) if leg.liquidation["liquidatedUser"] == leg.user else abs(gain)
        self._oid += self._random.randint(1, 90_000)
        taker = leg.side == match.side
        fee = 0.0 if leg.user in STRATEGIES or deleveraged else float(usd) * (0.00045 if taker else 0.00015)
        fill: dict[str, object] = {
            "coin": match.coin, "px": match.px, "sz": match.sz, "side": leg.side, "time": match.time,
            "startPosition": _text(leg.start), "dir": direction, "closedPnl": trimmed(f"{gain:.6f}", 1),
            "hash": match.hash, "oid": self._oid, "crossed": taker or deleveraged, "fee": trimmed(f"{fee:.6f}", 1),
            "tid": match.tid,
        }  # fmt: skip
        if leg.liquidation is not None:
            fill["liquidation"] = leg.liquidation
        fill["feeToken"] = "HYPE" if direction == "Buy" else "USDC"
        fill["twapId"] = None
        return Fill(leg.user, match.time, match.coin, json.dumps(fill, separators=(",", ":")), row)

    def _row(self, match: Match, true: TrueLiquidation) -> SentRow:
        self._serial += 1
        return SentRow(self._serial, "hyperliquid", match.coin, true.side, match.px, match.sz, match.time)

    def _parts(self, true: TrueLiquidation, count: int) -> list[Decimal]:
        """The size cut on the listing's grid into at most `count` parts, none of them empty."""
        step = Decimal(true.listing.step)
        units = int(Decimal(true.size) / step)
        cuts = sorted({self._random.randint(1, units) for _ in range(count - 1)} | {units})
        return [(cut - before) * step for cut, before in zip(cuts, [0, *cuts], strict=False)]

    def _px(self, true: TrueLiquidation, level: int) -> str:
        """Each further maker stands a tick or two behind."""
        away = Decimal(true.listing.tick) * level * self._random.randint(1, 2)
        return _text(max(Decimal(true.listing.tick), Decimal(true.fill) + (-away if true.side == "long" else away)))

    def _start(self, size: Decimal) -> Decimal:
        return (size * Decimal(round(self._random.uniform(-8, 8), 1))).quantize(size)

    def _victim(self) -> str:
        if self._random.random() < _WATCHED_VICTIM:
            return self._random.choice((*STRATEGIES, *MAKERS))
        return self._stranger()

    def _makers(self, but: str, count: int = 0) -> list[str]:
        count = count or self._random.choices((1, 2, 3, 4), (45, 30, 15, 10))[0]
        drawn = self._random.choices(("", *_WEIGHTS), (_CROWD, *_WEIGHTS.values()), k=count)
        return [maker if maker not in ("", but) else self._stranger() for maker in drawn]

    def _stranger(self) -> str:
        return f"0x{self._random.getrandbits(160):040x}"

    def _hash(self) -> str:
        return f"0x{self._random.getrandbits(256):064x}"


def _text(value: Decimal) -> str:
    return trimmed(f"{value:f}", 1)


def _direction(side: str, start: Decimal, size: Decimal) -> str:
    """What the trade does to the position.

    >>> [_direction("B", Decimal(start), Decimal(2)) for start in (-3, -1, 0)]
    ['Close Short', 'Short > Long', 'Open Long']
    """
    before, after = ("Short", "Long") if side == "B" else ("Long", "Short")
    against = -start if side == "B" else start
    if against <= 0:
        return f"Open {after}"
    return f"Close {before}" if against >= size else f"{before} > {after}"
