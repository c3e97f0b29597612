"""Frames in the venues' wire formats, as many distinct ones as wanted."""

from collections.abc import Callable

__all__ = ["FRAMES", "PRICE_BASE", "SYMBOLS", "binance", "bybit", "bybit_batch", "hyperliquid", "okx"]

SYMBOLS = tuple(f"COIN{i:02}USDT" for i in range(100))
PRICE_BASE = 10_000
"""An event's price is this plus its serial number: by that a receiver knows which one it holds."""

_ACCOUNT = "0x31ca8395cf837de08b24da3f660e77761dfb974b"
_OTHER = "0x61fb9e7583dc92cc76eb52f93d88addaa0f02265"
_HASH = "0x8e8de2718fa08764900704347f47410204dd00572aa3a63632568dc44ea4614f"


def binance(serial: int, event_ms: int) -> bytes:
    """One `forceOrder` as it comes on the unwrapped path, about 190 bytes."""
    symbol = SYMBOLS[serial % len(SYMBOLS)]
    side = "SELL" if serial % 3 else "BUY"
    price = f"{PRICE_BASE + serial}.50"
    size = f"{serial % 977 + 1}.{serial % 9 + 1}"
    return (
        f'{{"e":"forceOrder","E":{event_ms + 5},"o":{{"s":"{symbol}","S":"{side}","o":"LIMIT","f":"IOC","q":"{size}",'
        f'"p":"{price}","ap":"{price}","X":"FILLED","l":"{size}","z":"{size}","T":{event_ms},"ps":"{symbol}","st":1}}}}'
    ).encode()


def bybit(serial: int, event_ms: int) -> bytes:
    """An `allLiquidation` of one event, about 150 bytes."""
    return bybit_batch(serial, event_ms, rows=1)


def bybit_batch(serial: int, event_ms: int, rows: int = 20) -> bytes:
    """An `allLiquidation` of several events of one symbol, serial numbers from `serial` on."""
    symbol = SYMBOLS[serial // rows % len(SYMBOLS)]
    events = ",".join(
        f'{{"T":{event_ms},"s":"{symbol}","S":"{"Buy" if n % 3 else "Sell"}","v":"{n % 977 + 1}.{n % 9 + 1}",'
        f'"p":"{PRICE_BASE + n}.50"}}'
        for n in range(serial, serial + rows)
    )
    return f'{{"topic":"allLiquidation.{symbol}","type":"snapshot","ts":{event_ms + 5},"data":[{events}]}}'.encode()


def okx(serial: int, event_ms: int) -> bytes:
    """A `liquidation-orders` of one event, in contracts of known size."""
    base = ("BTC", "ETH")[serial % 2]
    side, position = ("buy", "short") if serial % 3 else ("sell", "long")
    return (
        '{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[{"details":[{"bkLoss":"0",'
        f'"bkPx":"{PRICE_BASE + serial}.5","ccy":"","posSide":"{position}","side":"{side}","sz":"{serial % 977 + 1}",'
        f'"ts":"{event_ms}"}}],"instFamily":"{base}-USDT","instId":"{base}-USDT-SWAP","instType":"SWAP",'
        f'"uly":"{base}-USDT"}}]}}'
    ).encode()


def hyperliquid(serial: int, event_ms: int) -> bytes:
    """A `userFills` of one fill with its liquidation."""
    return (
        f'{{"channel":"userFills","data":{{"user":"{_ACCOUNT}","fills":[{{"coin":"ETH","px":"{PRICE_BASE + serial}.5",'
        f'"sz":"{serial % 977 + 1}.6","side":"A","time":{event_ms},"startPosition":"0.6","dir":"Close Long",'
        f'"closedPnl":"-1.2843","hash":"{_HASH}","oid":308800014194,"crossed":true,"fee":"0.004178",'
        f'"tid":{1031003079291799 + serial},"liquidation":{{"liquidatedUser":"{_OTHER}","markPx":"{PRICE_BASE}.1",'
        '"method":"market"},"feeToken":"USDC","twapId":null}]}}'
    ).encode()


FRAMES: dict[str, Callable[[int, int], bytes]] = {
    "binance": binance,
    "bybit": bybit,
    "okx": okx,
    "hyperliquid": hyperliquid,
}
"""A one-event frame of each venue, from serial number and event time."""
