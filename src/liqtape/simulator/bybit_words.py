"""What the symbols and sizes of Bybit mean, by hand for the recount; its frames when they are broken."""

import re
from decimal import Decimal

__all__ = ["broken_frames", "broken_topic", "instrument_of", "usd_of"]

broken_topic = "allLiquidation.BTCUSDT"
broken_frames = {
    "torn": '{"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":%d,"data":[{"T":17910912',
    "unknown_topic": '{"topic":"somethingElse.BTCUSDT","type":"snapshot","ts":%d,"data":[]}',
    "wrong_types": (
        '{"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":%d,"data":[{"T":"soon","s":7,"S":null,"v":[],"p":{}}]}'
    ),
    "nan": (
        '{"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":%d,'
        '"data":[{"T":1791091285156,"s":"BTCUSDT","S":"Buy","v":"NaN","p":"NaN"}]}'
    ),
}

_INVERSE = {"BTCUSD": "BTCUSD", "ETHUSD": "ETHUSD", "BTCUSDZ26": "BTCUSD_261225"}
_MULTIPLIED = {"1000PEPEUSDT": "PEPEUSDT", "SHIB1000USDT": "SHIBUSDT"}
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def instrument_of(symbol: str) -> str:
    """Return our name of a symbol."""
    if symbol in _MULTIPLIED:
        return _MULTIPLIED[symbol]
    if symbol in _INVERSE:
        return _INVERSE[symbol]
    if symbol.endswith("PERP"):
        return symbol.removesuffix("PERP") + "USDC"
    dated = re.fullmatch(r"(\w+)-(\d\d)([A-Z]{3})(\d\d)", symbol)
    if dated is None:
        return symbol
    pair, day, month, year = dated.groups()
    return f"{pair}_{year}{_MONTHS.index(month) + 1:02d}{day}"


def usd_of(symbol: str, price: Decimal, size: Decimal) -> Decimal:
    """Return what a size is worth: that of inverse contracts is in dollars."""
    return size if symbol in _INVERSE else price * size
