"""The founding document's cascade detector."""

from liqtape.compat.cascade import CascadeDetector

__all__ = ["CascadeDetector"]
