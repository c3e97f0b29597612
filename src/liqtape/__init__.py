"""liqtape: exact velocity and acceleration of crypto-futures liquidations, live.

The names below are imported when first used, so that `import liqtape` opens and loads nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from liqtape import venues
    from liqtape.engine import VelocityEngine
    from liqtape.events import Alert, Liquidation, VelocityMetrics
    from liqtape.settings import Settings
    from liqtape.sinks.sink import Batch, Sink
    from liqtape.tracker import Tracker

__all__ = [
    "Alert",
    "Batch",
    "Liquidation",
    "Settings",
    "Sink",
    "Tracker",
    "VelocityEngine",
    "VelocityMetrics",
    "__version__",
    "venues",
]

__version__ = "0.1.0"

_HOMES = {
    "Alert": "events",
    "Batch": "sinks.sink",
    "Liquidation": "events",
    "Settings": "settings",
    "Sink": "sinks.sink",
    "Tracker": "tracker",
    "VelocityEngine": "engine",
    "VelocityMetrics": "events",
}


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})


def __getattr__(name: str) -> Any:
    if name == "venues":
        return import_module("liqtape.venues")
    if name not in _HOMES:
        raise AttributeError(f"module 'liqtape' has no attribute {name!r}")
    return getattr(import_module(f"liqtape.{_HOMES[name]}"), name)
