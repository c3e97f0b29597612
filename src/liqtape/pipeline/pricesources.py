"""Where BTC trades can be had, in order of preference."""

from collections.abc import Collection

from liqtape.venues import VENUES
from liqtape.venues.base import PriceSource

__all__ = ["PRICE_SOURCES", "PriceSource", "price_sources"]

PRICE_SOURCES: tuple[PriceSource, ...] = tuple(source for venue in VENUES.values() for source in venue.price_sources)
"""In order of preference. Perpetuals and spot differ by some basis points: the source is always named."""


def price_sources(venues: Collection[str], *, always: bool) -> list[PriceSource]:
    """Return the sources of a run: those of its venues; all of them where no venue has one and the price is wanted."""
    none = always and not any(source.venue in venues for source in PRICE_SOURCES)
    return [source for source in PRICE_SOURCES if none or source.venue in venues]
