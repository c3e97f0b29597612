from typing import Any
from urllib.parse import unquote

import pytest

from liqtape.simulator.bybit_rest import rest
from liqtape.simulator.listings import LISTINGS
from liqtape.simulator.wire import ServerLimits

# Key order of the venue's response example, see SOURCE.md; settleCoin comes after the funding interval.
KEYS = (
    "symbol symbolId contractType status baseCoin quoteCoin launchTime deliveryTime deliveryFeeRate priceScale "
    "leverageFilter priceFilter lotSizeFilter unifiedMarginTrade fundingInterval settleCoin copyTrading "
    "upperFundingRate lowerFundingRate isPreListing preListingInfo riskParameters symbolType"
)


def answer(page: int = 1_000, **query: str) -> Any:
    return rest("v5/market/instruments-info", query, 1_795_000_000_000, ServerLimits(bybit_page=page))


def test_answer_has_the_keys_of_the_real_one() -> None:
    found = answer(category="linear")

    assert list(found) == ["retCode", "retMsg", "result", "retExtInfo", "time"]
    assert list(found["result"]) == ["category", "list", "nextPageCursor"]
    for row in found["result"]["list"]:
        assert list(row) == KEYS.split()


@pytest.mark.parametrize("encoded", [True, False], ids=["cursor sent back as it came", "decoded once more"])
@pytest.mark.parametrize("category", ["linear", "inverse"])
def test_pages_add_up_to_all_instruments(category: str, encoded: bool) -> None:
    symbols: list[str] = []
    cursor = ""
    for _ in range(20):
        result = answer(category=category, limit="2", cursor=cursor)["result"]
        symbols += [row["symbol"] for row in result["list"]]
        cursor = result["nextPageCursor"] if encoded else unquote(result["nextPageCursor"])
        if not cursor:
            break

    listed = sorted(item.symbol for item in LISTINGS if item.venue == "bybit" and item.kind == category)
    assert symbols == listed


def test_venue_may_give_smaller_pages_than_asked_for() -> None:
    result = answer(5, category="linear", limit="1000")["result"]

    assert len(result["list"]) == 5
    assert result["nextPageCursor"] == "first%3D1000PEPEUSDT%26last%3DBTCUSDT"


@pytest.mark.parametrize(
    ("category", "symbol", "kind", "base", "settle", "delivery"),
    [
        ("linear", "BTCUSDT", "LinearPerpetual", "BTC", "USDT", "0"),
        ("linear", "BTCPERP", "LinearPerpetual", "BTC", "USDC", "0"),
        ("linear", "SHIB1000USDT", "LinearPerpetual", "SHIB1000", "USDT", "0"),
        ("linear", "BTCUSDT-25DEC26", "LinearFutures", "BTC", "USDT", "1798185600000"),
        ("inverse", "BTCUSD", "InversePerpetual", "BTC", "BTC", "0"),
        ("inverse", "BTCUSDZ26", "InverseFutures", "BTC", "BTC", "1798185600000"),
    ],
)
def test_contracts(category: str, symbol: str, kind: str, base: str, settle: str, delivery: str) -> None:
    (row,) = (row for row in answer(category=category)["result"]["list"] if row["symbol"] == symbol)

    assert (row["contractType"], row["baseCoin"], row["settleCoin"], row["deliveryTime"]) == (
        kind,
        base,
        settle,
        delivery,
    )


@pytest.mark.parametrize(
    "query", [{}, {"category": "moon"}, {"category": "linear", "limit": "0"}, {"category": "linear", "limit": "x"}]
)
def test_bad_queries_get_a_return_code(query: dict[str, str]) -> None:
    assert answer(1_000, **query)["retCode"] == 10001


def test_other_paths_have_no_answer() -> None:
    assert rest("v5/market/time", {}, 0, ServerLimits()) is None
