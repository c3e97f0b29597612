"""The table test of the guide's fifth step: side and notional, worked by hand."""

import pytest

from liqtape.events import RawLiquidation
from liqtape.instruments import Instruments
from liqtape.venues import VENUES

TOYEX = VENUES["toyex"]


@pytest.mark.parametrize(
    ("position", "price", "size", "side", "notional_usd"),
    [("long", "80000.0", "0.5", "long", 40_000.0), ("short", "0.008", "1000", "short", 8.0)],
    ids=["a long", "a short"],
)
def test_side_and_notional(position: str, price: str, size: str, side: str, notional_usd: float) -> None:
    row = f'{{"symbol":"A-USDT","position":"{position}","price":"{price}","size":"{size}","time":1790000000000}}'
    (event,) = TOYEX.decode(f'{{"channel":"liquidations","rows":[{row}]}}'.encode(), None)

    assert isinstance(event, RawLiquidation)
    sized = Instruments(lambda _, symbol: TOYEX.parse_symbol(symbol)).sized(event, "")
    assert (sized.side, sized.notional_usd) == (side, notional_usd)
