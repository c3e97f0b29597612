"""Broken frames in the manner of each venue, for the faults that send garbage."""

from liqtape.simulator.dialects import DIALECTS
from liqtape.simulator.wire import Frame

__all__ = ["garbage"]


def garbage(venue: str, fault: str, now_ms: int) -> Frame:
    """A frame broken in the named way: torn bytes go to every follower, the others to followers of one topic."""
    dialect = DIALECTS[venue]
    topics = () if fault == "torn" or not dialect.broken_topic else (dialect.broken_topic,)
    return Frame("garbage", topics, (dialect.broken_frames[fault] % now_ms).encode(), fault=fault)
