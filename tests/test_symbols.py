import pytest

from liqtape.runscope import parse_symbols
from liqtape.symbols import Catalogue, spellings
from liqtape.venues import VENUES

_SYMBOLS = {
    "binance": ["BTCUSDT", "BTCUSDC", "BTCUSD_PERP", "BTCUSDT_261225", "1000PEPEUSDT", "ETHUSDT"],
    "bybit": ["BTCUSDT", "BTCPERP", "BTCUSD", "SHIB1000USDT", "1000PEPEUSDT"],
    "okx": ["BTC-USDT-SWAP", "BTC-USD-SWAP", "ETH-USDT-SWAP"],
    "hyperliquid": ["BTC", "kPEPE", "ETH", "xyz:SILVER"],
}
_BTC = ["BTCUSD", "BTCUSDC", "BTCUSDT", "BTCUSDT_261225"]


@pytest.fixture(scope="module")
def listed() -> Catalogue:
    return Catalogue(VENUES[venue].parse_symbol(symbol) for venue, symbols in _SYMBOLS.items() for symbol in symbols)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("BTCUSDT", ["BTCUSDT"]),
        ("btcusdt", ["BTCUSDT"]),
        ("BTC-USDT", ["BTCUSDT"]),
        ("btc_usdt", ["BTCUSDT"]),
        ("BTC/USDT", ["BTCUSDT"]),
        ("BTC/USDT:USDT", ["BTCUSDT"]),
        ("BTC/USD:BTC", ["BTCUSD"]),
        ("BTC/USDT:USDT-261225", ["BTCUSDT_261225"]),
        ("BTC-USDT-SWAP", ["BTCUSDT"]),
        ("BTCUSD_PERP", ["BTCUSD"]),
        ("BTCPERP", ["BTCUSDC"]),
        ("BTCUSDT.P", ["BTCUSDT"]),
        ("1000PEPEUSDT", ["PEPEUSDT"]),
        ("1000PEPE/USDT:USDT", ["PEPEUSDT"]),
        ("kPEPE/USDC:USDC", ["PEPEUSDC"]),
        ("PEPE/USDT:USDT", ["PEPEUSDT"]),
        ("SHIB1000USDT", ["SHIBUSDT"]),
        ("xyz:SILVER", ["xyz:SILVERUSDC"]),
        ("BTC", _BTC),
        ("btc", _BTC),
        ("1000PEPE", ["PEPEUSDC", "PEPEUSDT"]),
        ("kPEPE", ["PEPEUSDC"]),
        ("NOSUCHUSDT", []),
        ("", []),
        ("/", []),
    ],
)
def test_a_name_means_instruments(listed: Catalogue, text: str, expected: list[str]) -> None:
    assert listed.meant(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("BTCUDST", "BTCUSDT"), ("bctusdt", "BTCUSDT"), ("1000PEEPUSDT", "PEPEUSDT")]
)
def test_a_name_that_is_nearly_one_finds_it(listed: Catalogue, text: str, expected: str) -> None:
    assert listed.nearest(text)[0] == expected


def test_what_looks_like_nothing_has_nothing_near(listed: Catalogue) -> None:
    assert listed.nearest("QQQQQQQQ") == []


def test_without_a_list_a_name_is_read_by_its_spelling() -> None:
    assert spellings("BTC/USDT:USDT-261225") == ["BTC/USDT:USDT-261225", "BTCUSDT_261225"]
    for text in ("btcusdt", "BTC/USDT:USDT", "btc-usdt-swap"):
        assert "BTCUSDT" in parse_symbols([text], VENUES)
