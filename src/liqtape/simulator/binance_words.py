"""What the symbols and sizes of Binance mean, by hand for the recount; its frames when they are broken."""

from decimal import Decimal

__all__ = ["broken_frames", "broken_topic", "instrument_of", "usd_of"]

broken_topic = "!forceOrder@arr"
broken_frames = {
    "torn": '{"e":"forceOrder","E":%d,"o":{"s":"BTCUSDT","S":"SELL","o":"LI',
    "unknown_topic": '{"e":"somethingElse","E":%d,"s":"BTCUSDT"}',
    "wrong_types": (
        '{"e":"forceOrder","E":%d,"o":{"s":"BTCUSDT","S":"SELL","q":[1],"p":{},"ap":null,"z":[],"T":"soon","st":"x"}}'
    ),
    "nan": (
        '{"e":"forceOrder","E":%d,"o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"NaN","p":"NaN","ap":"NaN",'
        '"X":"FILLED","l":"NaN","z":"NaN","T":1791391082119,"ps":"BTCUSDT","st":1}}'
    ),
}

_CONTRACT_USD = {"BTCUSD_PERP": 100, "ETHUSD_PERP": 10}
_MULTIPLIED = {"1000PEPEUSDT": "PEPEUSDT", "1000SHIBUSDT": "SHIBUSDT"}


def instrument_of(symbol: str) -> str:
    """Return our name of a symbol."""
    return _MULTIPLIED.get(symbol, symbol).removesuffix("_PERP")


def usd_of(symbol: str, price: Decimal, size: Decimal) -> Decimal:
    """Return what a size is worth: coin-margined contracts are worth so many dollars each."""
    return size * _CONTRACT_USD[symbol] if symbol in _CONTRACT_USD else price * size
