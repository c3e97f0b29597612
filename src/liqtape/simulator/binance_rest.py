"""Binance REST: the two exchangeInfo answers, with the fields and key order of live rows of September 2026."""

from collections.abc import Mapping

from liqtape.simulator.listings import LISTINGS, Listing, decimals
from liqtape.simulator.wire import ServerLimits

__all__ = ["rest"]

_NEVER = 4_133_404_800_000  # the delivery date the venue gives perpetuals
_ORDER_TYPES = ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"]


def rest(path: str, query: Mapping[str, str], now_ms: int, limits: ServerLimits) -> object | None:  # noqa: ARG001
    """The answer of `/fapi/v1/exchangeInfo` or `/dapi/v1/exchangeInfo`."""
    if path == "fapi/v1/exchangeInfo":
        return _exchange_info(now_ms, "U_MARGINED", [_usd_margined(item) for item in _listed("linear")])
    if path == "dapi/v1/exchangeInfo":
        return _exchange_info(now_ms, None, [_coin_margined(item) for item in _listed("coinm")])
    return None


def _listed(kind: str) -> list[Listing]:
    return [item for item in LISTINGS if item.venue == "binance" and item.kind == kind]


def _exchange_info(now_ms: int, family: str | None, symbols: list[dict[str, object]]) -> dict[str, object]:
    limits = [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400},
        {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
    ]
    answer: dict[str, object] = {"timezone": "UTC", "serverTime": now_ms}
    if family is not None:
        answer["futuresType"] = family
    answer |= {"rateLimits": limits, "exchangeFilters": []}
    if family is not None:
        answer["assets"] = [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}]
    return answer | {"symbols": symbols}


def _head(item: Listing, status_key: str) -> dict[str, object]:
    return {
        "symbol": item.symbol,
        "pair": item.base_coin + item.quote,
        "contractType": "CURRENT_QUARTER" if item.delivery_ms else "PERPETUAL",
        "deliveryDate": item.delivery_ms or _NEVER,
        "onboardDate": 1_569_398_400_000,
        status_key: "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": item.base_coin,
        "quoteAsset": item.quote,
        "marginAsset": item.settle,
        "pricePrecision": decimals(item.tick),
        "quantityPrecision": decimals(item.step),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW"] if item.coin == "BTC" else [],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.015000",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10000,
    }


def _filters(item: Listing) -> list[dict[str, object]]:
    return [
        {"filterType": "PRICE_FILTER", "minPrice": item.tick, "maxPrice": "4520958", "tickSize": item.tick},
        {"filterType": "LOT_SIZE", "minQty": item.step, "maxQty": "1000000", "stepSize": item.step},
        {"filterType": "MARKET_LOT_SIZE", "minQty": item.step, "maxQty": "60000", "stepSize": item.step},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
    ]


def _percent_price() -> dict[str, object]:
    return {
        "filterType": "PERCENT_PRICE",
        "multiplierUp": "1.0500",
        "multiplierDown": "0.9500",
        "multiplierDecimal": "4",
    }


def _usd_margined(item: Listing) -> dict[str, object]:
    return _head(item, "status") | {
        "filters": [
            *_filters(item),
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
            _percent_price(),
            {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"},
        ],
        "orderTypes": _ORDER_TYPES,
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
        "permissionSets": ["GRID", "COPY"],
    }


def _coin_margined(item: Listing) -> dict[str, object]:
    return _head(item, "contractStatus") | {
        "contractSize": item.contract_usd,
        "equalQtyPrecision": 4,
        "filters": [
            *_filters(item),
            {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 20},
            _percent_price(),
        ],
        "orderTypes": _ORDER_TYPES,
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
        "permissionSets": ["GRID"],
    }
