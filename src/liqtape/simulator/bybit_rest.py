"""Bybit REST: instruments-info, paged, with the fields and key order of the venue's documentation of 2026."""

from collections.abc import Mapping
from urllib.parse import parse_qs, quote, unquote

from liqtape.simulator.listings import LISTINGS, PRE_MARKET, Listing, decimals
from liqtape.simulator.wire import ServerLimits

__all__ = ["rest"]


def rest(path: str, query: Mapping[str, str], now_ms: int, limits: ServerLimits) -> object | None:
    """The answer of `/v5/market/instruments-info`."""
    if path != "v5/market/instruments-info":
        return None
    category = query.get("category", "")
    asked = query.get("limit", "500")
    if category not in ("linear", "inverse"):
        return _answer(10001, "params error: Category is invalid", {}, now_ms)
    if not asked.isascii() or not asked.isdigit() or not 1 <= int(asked) <= 1000:
        return _answer(10001, "params error: limit is invalid", {}, now_ms)
    status = query.get("status", "Trading")
    of_status = {"Trading": LISTINGS, "PreLaunch": PRE_MARKET}.get(status)
    if of_status is None:
        return _answer(10001, "params error: status is invalid", {}, now_ms)
    listed = sorted(
        (item for item in of_status if item.venue == "bybit" and item.kind == category), key=lambda item: item.symbol
    )
    # The cursor names the first and the last symbol of the page it came with; clients send it back encoded or not.
    after = parse_qs(unquote(query.get("cursor", ""))).get("last", [""])[0]
    rest_of_them = [item for item in listed if item.symbol > after]
    page = rest_of_them[: min(int(asked), limits.bybit_page)]
    more = len(rest_of_them) > len(page)
    result: dict[str, object] = {
        "category": category,
        "list": [_instrument(item) for item in page],
        "nextPageCursor": quote(f"first={page[0].symbol}&last={page[-1].symbol}") if more else "",
    }
    return _answer(0, "OK", result, now_ms)


def _answer(code: int, text: str, result: dict[str, object], now_ms: int) -> dict[str, object]:
    return {"retCode": code, "retMsg": text, "result": result, "retExtInfo": {}, "time": now_ms}


def _instrument(item: Listing) -> dict[str, object]:
    kind = "Inverse" if item.kind == "inverse" else "Linear"
    largest = "1000000" if item.kind == "inverse" else "1190"
    return {
        "symbol": item.symbol,
        "symbolId": (*LISTINGS, *PRE_MARKET).index(item) + 1,
        "contractType": kind + ("Futures" if item.delivery_ms else "Perpetual"),
        "status": "PreLaunch" if item in PRE_MARKET else "Trading",
        "baseCoin": item.base_coin,
        "quoteCoin": item.quote,
        "launchTime": "1585526400000",
        "deliveryTime": str(item.delivery_ms),
        "deliveryFeeRate": "0.0005" if item.delivery_ms else "",
        "priceScale": str(decimals(item.tick)),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": item.tick, "maxPrice": "1999999.80", "tickSize": item.tick},
        "lotSizeFilter": {
            "maxOrderQty": largest,
            "minOrderQty": item.step,
            "qtyStep": item.step,
            "postOnlyMaxOrderQty": largest,
            "maxMktOrderQty": largest,
            "minNotionalValue": "5",
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
        "settleCoin": item.settle,
        "copyTrading": "both",
        "upperFundingRate": "0.00375",
        "lowerFundingRate": "-0.00375",
        "isPreListing": item in PRE_MARKET,
        "preListingInfo": None,
        "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
        "symbolType": "",
    }
