"""What the venues' REST interfaces answered: lists of instruments, and past liquidations."""

from collections.abc import Callable, Collection, Sequence

from msgspec import Struct

from liqtape.errors import DecodeError
from liqtape.events import Event
from liqtape.instruments import Contract, Instruments
from liqtape.ledger import Ledger
from liqtape.venues.base import BackfillPage, BackfillRequest, Backfills, Venue

__all__ = ["ListChange", "is_target", "read_answer", "take_list"]


class ListChange(Struct, frozen=True):
    """What a list changed: the symbols that left, and the contracts that are watched now."""

    gone: Sequence[str]
    watched: Sequence[Contract]


def take_list(
    instruments: Instruments, venue: Venue, contracts: Sequence[Contract], target: Collection[str], *, is_whole: bool
) -> ListChange:
    """Take over a venue's list, or as much of it as is known; what a whole one does not name any more leaves."""
    name = venue.name
    instruments.load(contracts)
    gone = instruments.delist(name, {contract.symbol for contract in contracts}) if is_whole else []
    symbols = [c.symbol for c in contracts if instruments.is_listed(name, c.symbol)]  # beyond the bound it is not
    if not instruments.listed(name):  # what is subscribed all the same
        symbols = list(venue.bundled_symbols)
    # As they are named now: what one contract is called may depend on which others there are.
    watched = [instruments.contract(name, symbol) for symbol in symbols if is_target(instruments, name, symbol, target)]
    return ListChange(gone, watched)


def is_target(instruments: Instruments, venue: str, symbol: str, target: Collection[str]) -> bool:
    """Return whether a venue's symbol is watched, `target` having either spelling and being empty for all."""
    return not target or symbol in target or instruments.contract(venue, symbol).instrument in target


def read_answer(
    venue: Backfills,
    request: BackfillRequest,
    payload: bytes,
    receive_ms: int,
    ledger: Ledger,
    ingest: Callable[[Sequence[Event], Ledger], None],
) -> BackfillPage:
    """Count and decode an answer, and let `ingest` have its events. Raises DecodeError where it is none."""
    ledger.frames_received += 1
    try:
        page = venue.decode_backfill(request, payload, receive_ms)
    except DecodeError:
        ledger.frames_undecodable += 1
        raise
    if page.events:
        ledger.frames_liquidation += 1
        ingest(page.events, ledger)
    else:
        ledger.frames_other_topic += 1
    return page
