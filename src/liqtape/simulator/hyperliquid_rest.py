"""Hyperliquid REST: one path, POST `/info`, whose `type` says what is wanted; what it does not know is a 422."""

import json
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from liqtape.simulator.hyperliquid_fills import Fill, Match
from liqtape.simulator.listings import LISTINGS, Listing, decimals
from liqtape.simulator.wire import Answer, RestRequest, ServerLimits

__all__ = ["rest"]

_UNKNOWN = Answer("Failed to deserialize the JSON body into the target type", status=422)
_RECENT = 10


class _Question(Struct):
    """What a client may ask."""

    type: str
    dex: str = ""
    user: str = ""
    coin: str = ""
    startTime: int | None = None  # noqa: N815 - the venue's own names
    endTime: int | None = None  # noqa: N815


def rest(
    asked: RestRequest,
    fills_of: Callable[[str], Sequence[Fill]],
    trades_of: Callable[[str], Sequence[Match]],
    limits: ServerLimits,
) -> Answer | None:
    """The answer of `/info`; `fills_of` a user and `trades_of` a coin are oldest first."""
    if asked.path != "info" or asked.method != "POST":
        return None
    try:
        question = msgspec.json.decode(asked.body, type=_Question)
    except msgspec.MsgspecError:
        return _UNKNOWN
    if question.type == "meta":
        return Answer(_meta(question.dex))
    if question.type == "recentTrades" and question.coin:
        newest = list(trades_of(question.coin))[-_RECENT:]
        return Answer([match.printed() for match in reversed(newest)])
    fills = _asked_for(question, fills_of)
    return _UNKNOWN if fills is None else _told(fills[: limits.hyperliquid_page])


def _asked_for(question: _Question, fills_of: Callable[[str], Sequence[Fill]]) -> Sequence[Fill] | None:
    if question.user and question.type == "userFills":
        return fills_of(question.user.lower())[::-1]
    if question.user and question.type == "userFillsByTime" and question.startTime is not None:
        return _between(fills_of(question.user.lower()), question.startTime, question.endTime)
    return None


def _between(fills: Sequence[Fill], first_ms: int, last_ms: int | None) -> list[Fill]:
    found = [fill for fill in fills if first_ms <= fill.time and (last_ms is None or fill.time <= last_ms)]
    return sorted(found, key=lambda fill: fill.time)


def _told(fills: Sequence[Fill]) -> Answer:
    return Answer([json.loads(fill.text) for fill in fills], rows=tuple(fill.row for fill in fills if fill.row))


def _meta(dex: str) -> dict[str, object]:
    listed = [item for item in LISTINGS if item.venue == "hyperliquid" and item.symbol.rpartition(":")[0] == dex]
    return {
        "universe": [_perpetual(item) for item in listed],
        "marginTables": [[50, {"description": "", "marginTiers": [{"lowerBound": "0.0", "maxLeverage": 50}]}]],
        "collateralToken": 0,
    }


def _perpetual(item: Listing) -> dict[str, object]:
    return {"szDecimals": decimals(item.step), "name": item.symbol, "maxLeverage": 50, "marginTableId": 50}
