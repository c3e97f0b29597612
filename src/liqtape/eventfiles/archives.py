"""Rows of the public archives: Tardis's `liquidations` files and Binance's `liquidationSnapshot` files.

Facts. Tardis (docs.tardis.dev, downloadable CSV files): times in microseconds; `side` is that of the order, so `sell`
closed a long; `amount` is in the venue's own unit. Binance (data.binance.vision): the order's side as well, the symbol
in the file's name alone, columns with or without a header; whole files have every row twice (binance-public-data
issue 259), so equal rows are one.
"""

import re
from collections.abc import Iterable, Mapping

from liqtape.eventfiles.eventtable import EventRow
from liqtape.events import PriceKind, RawLiquidation, Side, Unit
from liqtape.instruments import Contract, Instruments, whole
from liqtape.venues import VENUES, binance
from liqtape.venues.base import Archived

__all__ = ["BINANCE_COLUMNS", "TARDIS_COLUMNS", "binance_row", "binance_symbol", "tardis_row"]

TARDIS_COLUMNS = ("exchange", "symbol", "timestamp", "local_timestamp", "id", "side", "price", "amount")
BINANCE_COLUMNS = (
    "time",
    "side",
    "order_type",
    "time_in_force",
    "original_quantity",
    "price",
    "average_price",
    "order_status",
    "last_fill_quantity",
    "accumulated_fill_quantity",
)

_CLOSED = {"sell": "long", "buy": "short"}
_SIDES: dict[str, Side] = {"long": "long", "short": "short"}
_MOST = 1e18
_SYMBOL = re.compile(r"^(\w+)-liquidationSnapshot-")


_EXCHANGES = {
    exchange.name: (venue, exchange)
    for venue in VENUES.values()
    if isinstance(venue, Archived)
    for exchange in venue.archived_exchanges
}


def tardis_row(fields: Mapping[str, object], sizes: Instruments) -> EventRow:
    """A row of a Tardis file; without quantity and USD where the unit of the exchange is not known."""
    name = str(fields["exchange"])
    symbol, side = str(fields["symbol"]), _side(fields["side"])
    event_ms = _milliseconds(fields["timestamp"])
    if name not in _EXCHANGES:
        return EventRow(event_ms, name, None, symbol, side, fields["price"], None, None, None, fields["id"])
    venue, exchange = _EXCHANGES[name]
    unit = exchange.inverse if venue.parse_symbol(symbol).inverse else exchange.linear
    price, amount, kind = fields["price"], fields["amount"], exchange.price_kind
    row = EventRow(event_ms, venue.name, None, symbol, side, price, amount, None, kind, fields["id"])
    return _sized(row, unit, sizes)


def binance_symbol(file_name: str) -> str | None:
    """The symbol of `BTCUSDT-liquidationSnapshot-2024-01-01.csv`; None for files of another kind."""
    found = _SYMBOL.match(file_name)
    return found and found[1]


def binance_row(fields: Mapping[str, object], symbol: str, sizes: Instruments) -> EventRow:
    """A row of a snapshot file: what was filled, at its average price."""
    unit: Unit = "contracts" if binance.parse_symbol(symbol).inverse else "base"
    price, quantity = fields["average_price"], fields["accumulated_fill_quantity"]
    identity = "|".join([symbol, *(str(fields[column]) for column in BINANCE_COLUMNS)])
    side = _side(fields["side"])
    row = EventRow(fields["time"], binance.name, None, symbol, side, price, quantity, None, "fill", identity)
    return _sized(row, unit, sizes)


def _sized(row: EventRow, unit: Unit, sizes: Instruments) -> EventRow:
    """The row, whose quantity counts `unit`s, in the venue's base and in USD; what is unsound stays as it is.

    Contracts are worth what `sizes` says. The name, and with it the factor, is left to the table.
    """
    venue, symbol, side = str(row.venue), str(row.symbol), _SIDES.get(str(row.side))
    kind: PriceKind = "bankruptcy" if row.price_kind == "bankruptcy" else "fill"
    try:
        price, size = float(str(row.price)), float(str(row.quantity))
        if side is None or not (0 < price < _MOST and 0 < size < _MOST):
            return row._replace(quantity="unsound")  # which the table refuses, unless it refuses more
        event = sizes.sized(RawLiquidation(venue, symbol, side, price, kind, size, unit, 0), "")
    except (ArithmeticError, ValueError):
        return row
    return row._replace(quantity=event.quantity, notional_usd=event.notional_usd)


def _side(side: object) -> str:
    return _CLOSED.get(str(side).lower(), "neither buy nor sell")


def _milliseconds(microseconds: object) -> object:
    text = str(microseconds)
    return int(text) // 1000 if text.isdecimal() and len(text) < 20 else microseconds


def _parse_symbol(venue: str, symbol: str) -> Contract:
    return whole(VENUES[venue].parse_symbol(symbol))


def sizes_of(contracts: Iterable[Contract]) -> Instruments:
    """Return what contracts are worth by the bundled table, and by these lists of venues before it."""
    sizes = Instruments(_parse_symbol)
    sizes.load(map(whole, contracts))
    return sizes
