"""Broken frames in the manner of each venue, for the faults that send garbage."""

from liqtape.simulator.wire import Frame

__all__ = ["garbage"]

_BINANCE = {
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
_BYBIT = {
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
_OKX = {
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
_HYPERLIQUID_FILL = (
    '{"channel":"userFills","data":{"user":"0x31ca8395cf837de08b24da3f660e77761dfb974b","fills":[{"coin":"BTC",'
    '"px":%s,"sz":%s,"side":"B","time":%%d,"startPosition":"0.0","dir":"Open Long","closedPnl":"0.0",'
    '"hash":"0x8e8de2718fa08764900704347f47410204dd00572aa3a63632568dc44ea4614f","oid":308800014194,"crossed":false,'
    '"fee":"0.0","tid":%s,"liquidation":{"liquidatedUser":"0x61fb9e7583dc92cc76eb52f93d88addaa0f02265",'
    '"markPx":"84000.0","method":"market"},"feeToken":"USDC","twapId":null}]}}'
)
_HYPERLIQUID = {
    "torn": '{"channel":"userFills","data":{"user":"0x31ca8395cf837de08b24da3f660e77761dfb974b","fills":[{"time":%d,',
    "unknown_topic": '{"channel":"somethingElse","data":{"time":%d}}',
    "wrong_types": _HYPERLIQUID_FILL % ("[]", "{}", '"soon"'),
    "nan": _HYPERLIQUID_FILL % ('"NaN"', '"NaN"', "1"),
}
_BROKEN = {
    "binance": ("!forceOrder@arr", _BINANCE),
    "bybit": ("allLiquidation.BTCUSDT", _BYBIT),
    "okx": ("liquidation-orders:SWAP", _OKX),
    "hyperliquid": ("", _HYPERLIQUID),
}


def garbage(venue: str, fault: str, now_ms: int) -> Frame:
    """A frame broken in the named way: torn bytes go to every follower, the others to followers of one topic."""
    topic, broken = _BROKEN[venue]
    topics = () if fault == "torn" or not topic else (topic,)
    return Frame("garbage", topics, (broken[fault] % now_ms).encode(), fault=fault)
