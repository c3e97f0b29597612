"""What the symbols and sizes of Hyperliquid mean, by hand for the recount; its frames when they are broken."""

from decimal import Decimal

__all__ = ["broken_frames", "broken_topic", "instrument_of", "usd_of"]

broken_topic = ""
_FILL = (
    '{"channel":"userFills","data":{"user":"0x31ca8395cf837de08b24da3f660e77761dfb974b","fills":[{"coin":"BTC",'
    '"px":%s,"sz":%s,"side":"B","time":%%d,"startPosition":"0.0","dir":"Open Long","closedPnl":"0.0",'
    '"hash":"0x8e8de2718fa08764900704347f47410204dd00572aa3a63632568dc44ea4614f","oid":308800014194,"crossed":false,'
    '"fee":"0.0","tid":%s,"liquidation":{"liquidatedUser":"0x61fb9e7583dc92cc76eb52f93d88addaa0f02265",'
    '"markPx":"84000.0","method":"market"},"feeToken":"USDC","twapId":null}]}}'
)
broken_frames = {
    "torn": '{"channel":"userFills","data":{"user":"0x31ca8395cf837de08b24da3f660e77761dfb974b","fills":[{"time":%d,',
    "unknown_topic": '{"channel":"somethingElse","data":{"time":%d}}',
    "wrong_types": _FILL % ("[]", "{}", '"soon"'),
    "nan": _FILL % ('"NaN"', '"NaN"', "1"),
}

_THOUSANDS = {"kPEPE": "PEPE", "kSHIB": "SHIB"}


def instrument_of(symbol: str) -> str:
    """Return our name of a symbol."""
    return _THOUSANDS.get(symbol, symbol) + "USDC"


def usd_of(symbol: str, price: Decimal, size: Decimal) -> Decimal:  # noqa: ARG001 - all are linear
    """Return what a size is worth."""
    return price * size
