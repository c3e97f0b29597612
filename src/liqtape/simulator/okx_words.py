"""What the symbols and sizes of OKX mean, by hand for the recount; its frames when they are broken."""

from decimal import Decimal

from liqtape.simulator.listings import listing

__all__ = ["broken_frames", "broken_topic", "instrument_of", "usd_of"]

broken_topic = "liquidation-orders:SWAP"
broken_frames = {
    "torn": '{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[{"details":[{"bkLoss":"0","ts":"%d',
    "unknown_topic": '{"arg":{"channel":"something-else","instType":"SWAP"},"data":[{"ts":"%d"}]}',
    "wrong_types": (
        '{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[{"details":[{"bkLoss":"0","bkPx":[],'
        '"ccy":"","posSide":"both","side":7,"sz":{},"ts":%d}],"instFamily":"BTC-USDT","instId":"BTC-USDT-SWAP",'
        '"instType":"SWAP","uly":"BTC-USDT"}]}'
    ),
    "nan": (
        '{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[{"details":[{"bkLoss":"0","bkPx":"NaN",'
        '"ccy":"","posSide":"long","side":"sell","sz":"NaN","ts":"%d"}],"instFamily":"BTC-USDT",'
        '"instId":"BTC-USDT-SWAP","instType":"SWAP","uly":"BTC-USDT"}]}'
    ),
}


def instrument_of(symbol: str) -> str:
    """Return our name of a symbol."""
    base, quote, kind = symbol.split("-")
    return base + quote if kind == "SWAP" else f"{base}{quote}_{kind}"


def usd_of(symbol: str, price: Decimal, size: Decimal) -> Decimal:
    """Return what a size is worth: so many contracts, of coins or of dollars."""
    item = listing("okx", symbol)
    worth = size * Decimal(item.ct_val)
    return worth if item.kind == "inverse" else worth * price
