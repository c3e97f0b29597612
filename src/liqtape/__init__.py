"""liqtape: liquidations of crypto derivatives venues, measured as they happen."""

__version__ = "0.1.0"
