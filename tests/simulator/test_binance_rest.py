import json
from typing import Any

import pytest

from liqtape.simulator.binance_rest import rest
from liqtape.simulator.wire import ServerLimits

# Key order of live rows, see SOURCE.md.
HEAD = (
    "symbol pair contractType deliveryDate onboardDate {status} maintMarginPercent requiredMarginPercent baseAsset "
    "quoteAsset marginAsset pricePrecision quantityPrecision baseAssetPrecision quotePrecision underlyingType "
    "underlyingSubType triggerProtect liquidationFee marketTakeBound maxMoveOrderLimit "
)
TAIL = "filters orderTypes timeInForce permissionSets"


def rows(path: str) -> dict[str, Any]:
    answer: Any = json.loads(json.dumps(rest(path, {}, 1_795_000_000_000, ServerLimits())))
    assert answer["serverTime"] == 1_795_000_000_000
    return {row["symbol"]: row for row in answer["symbols"]}


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("fapi/v1/exchangeInfo", HEAD.format(status="status") + TAIL),
        ("dapi/v1/exchangeInfo", HEAD.format(status="contractStatus") + "contractSize equalQtyPrecision " + TAIL),
    ],
    ids=["usd-margined", "coin-margined"],
)
def test_rows_have_the_keys_of_live_ones(path: str, keys: str) -> None:
    for row in rows(path).values():
        assert list(row) == keys.split()


def test_contract_sizes_of_coin_margined_contracts() -> None:
    found = rows("dapi/v1/exchangeInfo")

    assert {symbol: row["contractSize"] for symbol, row in found.items()} == {"BTCUSD_PERP": 100, "ETHUSD_PERP": 10}


@pytest.mark.parametrize(
    ("symbol", "pair", "kind", "delivery", "base"),
    [
        ("BTCUSDT", "BTCUSDT", "PERPETUAL", 4_133_404_800_000, "BTC"),
        ("BTCUSDT_261225", "BTCUSDT", "CURRENT_QUARTER", 1_798_185_600_000, "BTC"),
        ("1000PEPEUSDT", "1000PEPEUSDT", "PERPETUAL", 4_133_404_800_000, "1000PEPE"),
        ("牛来USDT", "牛来USDT", "PERPETUAL", 4_133_404_800_000, "牛来"),
    ],
)
def test_names_of_usd_margined_contracts(symbol: str, pair: str, kind: str, delivery: int, base: str) -> None:
    row = rows("fapi/v1/exchangeInfo")[symbol]

    assert (row["pair"], row["contractType"], row["deliveryDate"], row["baseAsset"]) == (pair, kind, delivery, base)


def test_other_paths_have_no_answer() -> None:
    assert rest("fapi/v1/allForceOrders", {}, 0, ServerLimits()) is None
