"""The user's own classes win: found by the founding document's module and class names."""

import importlib
import logging
from types import ModuleType
from typing import Any

__all__ = ["OWN", "own_class", "told"]

_log = logging.getLogger("enhanced_websocket_manager")

OWN: dict[str, tuple[str, str]] = {
    "binance": ("cex.cex_exchanges", "BinanceLiquidationStream"),
    "bybit": ("cex.cex_exchanges", "BybitLiquidationStream"),
    "okx": ("cex.cex_exchanges", "OKXLiquidationStream"),
    "hyperliquid": ("dex.hyperliquid_liquidation_provider", "HyperliquidLiquidationProvider"),
}
"""Venue -> module and class that serve it when importable."""


def own_class(venue: str) -> type | None:
    """The importable class for `venue`, None when its module does not exist.

    Only the ModuleNotFoundError that names the module itself (or its package) is forgiven; an error inside the user's
    module is the user's to see, and a module without the class is an ImportError: half a package is never mixed with
    ours.
    """
    module_name, class_name = OWN[venue]
    module = _module(module_name)
    if module is None:
        return None
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        raise ImportError(f"{module_name} ({module.__file__}) has no class {class_name}", name=module_name)  # noqa: TRY004
    return found


def _module(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name in {name, name.partition(".")[0]}:
            return None
        raise


def told(venue: str, implementation: Any) -> None:
    """One line that says which implementation serves a venue."""
    _log.info("%s is served by %s.%s", venue, implementation.__module__, implementation.__qualname__)
