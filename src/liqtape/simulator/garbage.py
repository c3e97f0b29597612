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
_BROKEN = {"binance": ("!forceOrder@arr", _BINANCE), "bybit": ("allLiquidation.BTCUSDT", _BYBIT)}


def garbage(venue: str, fault: str, now_ms: int) -> Frame:
    """A frame broken in the named way: torn bytes go to every follower, the others to followers of one topic."""
    topic, broken = _BROKEN[venue]
    topics = () if fault == "torn" else (topic,)
    return Frame("garbage", topics, (broken[fault] % now_ms).encode(), fault=fault)
