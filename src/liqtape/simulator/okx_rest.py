"""OKX REST: the instruments and the past liquidations, with the fields and key order of real answers."""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from liqtape.simulator.listings import LISTINGS, Listing, trimmed
from liqtape.simulator.wire import Answer, RestRequest, SentRow, ServerLimits

__all__ = ["Detail", "rest"]


class Detail(Struct, frozen=True):
    """One printed liquidation; the socket and the backfill say the same of it."""

    row: SentRow
    item: Listing
    position: str
    """`long`, `short`, or `net` of an account that holds one position a contract."""

    @property
    def kind(self) -> str:
        return _kind(self.item)

    @property
    def family(self) -> str:
        return _family(self.item)

    @property
    def underlying(self) -> str:
        return _underlying(self.item)

    def printed(self) -> dict[str, str]:
        return {
            "bkLoss": "0",
            "bkPx": self.row.price,
            "ccy": "",
            "posSide": self.position,
            "side": "sell" if self.row.side == "long" else "buy",
            "sz": self.row.size,
            "ts": str(self.row.event_ms),
        }


def rest(asked: RestRequest, history: Iterable[Detail], limits: ServerLimits) -> Answer | None:
    """The answer of `/api/v5/public/instruments` or `/api/v5/public/liquidation-orders`."""
    if asked.method != "GET":
        return None
    if asked.path == "api/v5/public/instruments":
        return _instruments(asked.query)
    if asked.path == "api/v5/public/liquidation-orders":
        return _past_liquidations(asked.query, history, limits)
    return None


def _instruments(query: Mapping[str, str]) -> Answer:
    kind = query.get("instType", "")
    if kind not in ("SWAP", "FUTURES"):
        return _error("51000", "Parameter instType  error")
    rows = [
        _instrument(number, item)
        for number, item in enumerate(LISTINGS)
        if item.venue == "okx"
        and _kind(item) == kind
        and query.get("instId", item.symbol) == item.symbol
        and query.get("instFamily", _family(item)) == _family(item)
        and query.get("uly", _underlying(item)) == _underlying(item)
    ]
    return Answer({"code": "0", "msg": "", "data": rows})


def _past_liquidations(query: Mapping[str, str], history: Iterable[Detail], limits: ServerLimits) -> Answer:
    kind = query.get("instType", "")
    family, underlying = query.get("instFamily") or None, query.get("uly") or None
    bounds = [query.get(name) or None for name in ("after", "before", "limit")]
    if kind not in ("SWAP", "FUTURES"):
        return _error("51000", "Parameter instType  error")
    if family is None and underlying is None:
        return _error("50015", "Either parameter uly or instFamily is required")
    listed = [item for item in LISTINGS if item.venue == "okx" and _kind(item) == kind]
    if family is not None and family not in map(_family, listed):
        return _error("51000", "Parameter instFamily error")
    if underlying is not None and underlying not in map(_underlying, listed):
        return _error("51000", "Parameter uly error")
    if not all(bound is None or (bound.isascii() and bound.isdigit()) for bound in bounds):
        return _error("51000", "Parameter after, before or limit  error")
    after, before, limit = (None if bound is None else int(bound) for bound in bounds)
    wanted = [
        detail
        for detail in history
        if detail.kind == kind
        and family in (None, detail.family)
        and underlying in (None, detail.underlying)
        and (after is None or detail.row.event_ms < after)
        and (before is None or detail.row.event_ms > before)
    ]
    wanted.sort(key=lambda detail: detail.row.event_ms, reverse=True)
    page = wanted[: min(limits.okx_page, limit or limits.okx_page)] if query.get("state") != "unfilled" else []
    by_contract: dict[str, list[Detail]] = {}
    for detail in page:
        by_contract.setdefault(detail.row.symbol, []).append(detail)
    entries = [
        {
            "details": [detail.printed() for detail in details],
            "instFamily": details[0].family,
            "instId": symbol,
            "instType": kind,
            "totalLoss": "0",
            "uly": details[0].underlying,
        }
        for symbol, details in by_contract.items()
    ]
    return Answer({"code": "0", "msg": "", "data": entries}, rows=tuple(detail.row for detail in page))


def _error(code: str, text: str) -> Answer:
    return Answer({"code": code, "msg": text, "data": []}, status=400)


def _kind(item: Listing) -> str:
    return "FUTURES" if item.delivery_ms else "SWAP"


def _family(item: Listing) -> str:
    return item.symbol.rpartition("-")[0]


def _underlying(item: Listing) -> str:
    """What several families may have in common: BTC-USD of `BTC-USD-261225` and of `BTC-USD_UM-261225`."""
    return _family(item).partition("_")[0]


def _instrument(number: int, item: Listing) -> dict[str, object]:
    inverse = item.kind == "inverse"
    largest = "100000000.0000000000000000"
    return {
        "alias": "quarter" if item.delivery_ms else "",
        "auctionEndTime": "",
        "baseCcy": "",
        "category": "1",
        "contTdSwTime": "",
        "ctMult": "1",
        "ctType": item.kind,
        "ctVal": item.ct_val,
        "ctValCcy": "USD" if inverse else item.base_coin,
        "expTime": str(item.delivery_ms or ""),
        "futureSettlement": False,
        "instFamily": _family(item),
        "instId": item.symbol,
        "instIdCode": 10_427 + number,
        "instType": _kind(item),
        "lever": "100",
        "listTime": "1573557408000",
        "lotSz": item.step,
        "maxIcebergSz": largest,
        "maxLmtAmt": "20000000",
        "maxLmtSz": "100000000",
        "maxMktAmt": "",
        "maxMktSz": "30000",
        "maxPlatOILmt": "",
        "maxStopSz": "30000",
        "maxTriggerSz": largest,
        "maxTwapSz": largest,
        "minSz": item.step,
        "openType": "",
        "optType": "",
        "posLmtAmt": "",
        "posLmtPct": "",
        "preMktSwTime": "",
        "quoteCcy": "",
        "ruleType": "normal",
        "settleCcy": item.settle,
        "state": "live",
        "stk": "",
        "tickSz": trimmed(item.tick),
        "tradeQuoteCcyList": [],
        "uly": _underlying(item),
    }
