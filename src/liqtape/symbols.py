"""Which instruments a person means: by our name, a venue's spelling, `BTC/USDT:USDT`, in any case, or by a coin."""

import re
from collections import defaultdict
from collections.abc import Iterable
from difflib import get_close_matches

from liqtape.assets import split_multiplier
from liqtape.instruments import Contract

__all__ = ["Catalogue", "spellings"]

_UNIFIED = re.compile(r"([^/]+)/([^/:]+)(?::[^-]+)?(?:-(\d{6}))?(?:-.*)?")
_SEPARATORS = re.compile(r"[-_/:. ]")
_NEAR = 3


def spellings(text: str) -> list[str]:
    """Return the text and what else it is written as, without a list to look it up in.

    >>> spellings("btc/usdt:usdt"), spellings("BTCUSDT"), spellings("eth-usdt-swap")
    (['btc/usdt:usdt', 'BTCUSDT'], ['BTCUSDT'], ['eth-usdt-swap', 'ETH-USDT-SWAP'])
    """
    return list(dict.fromkeys((text, _plain(text).upper())))


def _plain(text: str) -> str:
    """`BTC/USDT:USDT-261225` -> BTCUSDT_261225; a chart's `BTCUSDT.P` -> BTCUSDT."""
    unified = _UNIFIED.fullmatch(text)
    if unified is None:
        return text.removesuffix(".P").removesuffix(".p")
    base, quote, date = unified.groups()
    return f"{base}{quote}_{date}" if date else f"{base}{quote}"


def _folded(text: str) -> str:
    return _SEPARATORS.sub("", text).upper()


class Catalogue:
    """What venues list, to be asked for by any name.

    >>> listed = Catalogue([Contract("bybit", "1000PEPEUSDT", "PEPEUSDT", coin="PEPE", factor=1000)])
    >>> listed.meant("pepe/usdt:usdt"), listed.meant("1000PEPEUSDT"), listed.meant("pepe"), listed.meant("PEPEEUR")
    (['PEPEUSDT'], ['PEPEUSDT'], ['PEPEUSDT'], [])
    >>> listed.nearest("PEPPEUSDT")
    ['PEPEUSDT']
    """

    def __init__(self, contracts: Iterable[Contract]) -> None:
        self._coins: dict[str, set[str]] = defaultdict(set)
        self._instruments: dict[str, set[str]] = defaultdict(set)
        self._symbols: dict[str, set[str]] = defaultdict(set)
        for one in contracts:
            self._instruments[_folded(one.instrument)].add(one.instrument)
            for spelled in (one.symbol, one.raw):
                self._symbols[_folded(spelled)].add(one.instrument)
            if coin := one.coin or _coin(one):
                self._coins[coin.upper()].add(one.instrument)

    def meant(self, text: str) -> list[str]:
        """Return the instruments of that name, sorted: all of a coin, else those called so, else so spelled."""
        name = _folded(_plain(text))
        coin = split_multiplier(name)[0]
        for names, key in ((self._coins, coin), (self._instruments, name), (self._symbols, name)):
            if key and key in names:
                return sorted(names[key])
        return []

    def is_coin(self, text: str) -> bool:
        """Whether the text names a coin, and with it all of its instruments."""
        return split_multiplier(_folded(text))[0] in self._coins

    def nearest(self, text: str) -> list[str]:
        """Return up to three names that look like it, the likest first."""
        name = _folded(_plain(text))
        known = {**self._symbols, **self._instruments}
        found = get_close_matches(name, [*known, *self._coins], _NEAR, 0.6)
        return list(dict.fromkeys(min(known[key]) if key in known else key for key in found))


def _coin(contract: Contract) -> str:
    """The coin of an inverse contract, whose list names none."""
    return contract.instrument.partition("_")[0].removesuffix("USD") if contract.inverse else ""
