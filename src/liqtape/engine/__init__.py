"""Exact event-time statistics. No I/O, no clock: time is an argument everywhere."""

from liqtape.engine.velocity import VelocityEngine
from liqtape.engine.windows.window import Window

__all__ = ["VelocityEngine", "Window"]
