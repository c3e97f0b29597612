"""What was known of the venues' instruments on 2026-11-22, for use until (or without) their own lists.

COIN-M contract sizes: Binance futures documentation (100 USD for BTC, 10 USD for the others). Bybit symbols: the most
traded; a symbol that is gone is refused and reported, the others stand. OKX contract sizes: only those read from an
answer of its instruments endpoint. Hyperliquid accounts: children of its liquidity vault, from `vaultDetails`.
"""

__all__ = [
    "AS_OF",
    "BINANCE_ASSETS",
    "BINANCE_COIN_M",
    "BINANCE_WHOLE",
    "BYBIT_SYMBOLS",
    "HYPERLIQUID_ACCOUNTS",
    "OKX_CONTRACTS",
]

AS_OF = "2026-11-22"

BINANCE_COIN_M: dict[str, str] = {
    "BTCUSD": "100",
    **{
        f"{coin}USD": "10"
        for coin in (
            "AAVE ADA ALGO APE APT ATOM AVAX AXS BCH BNB CHZ CRV DOGE DOT EGLD ENS EOS ETC ETH FIL FTM GALA GMT ICP "
            "ICX INJ KNC LINK LTC MANA NEAR OP ROSE RUNE SAND SOL SUI THETA TRX UNI VET WIF WLD XLM XRP XTZ ZIL"
        ).split()
    },
}

# By base: contracts on no coin, as they stood in answers of exchangeInfo that others published in 2026. Its list of the
# day decides; this is for the seconds before it is there. CAT and WEN bear the letters of coins.
BINANCE_ASSETS: dict[str, str] = {
    **dict.fromkeys(
        "CAT CRCL CXMT HYUNDAI JPM KORU MU NVDA QQQ SKHYNIX SNDK SPCX TEM TENCENT TSLA WEN".split(), "equity"
    ),
    **dict.fromkeys("BZ CL COPPER NATGAS XAG XAU XPD XPT".split(), "commodity"),
    **dict.fromkeys("BTCDOM DEFI".split(), "index"),
    "OPENAI": "other",
}

# Bases whose factor stays on, because the venue has had the bare name for another asset: BOBUSDT and 1000000BOBUSDT are
# two coins, both traded on 2025-12-11; CATUSDT is a stock.
BINANCE_WHOLE: frozenset[str] = frozenset({"1000000BOB", "1000CAT"})

BYBIT_SYMBOLS: tuple[str, ...] = (
    *(
        f"{base}USDT"
        for base in (
            "BTC ETH SOL XRP DOGE BNB ADA AVAX LINK LTC DOT BCH TRX UNI AAVE NEAR APT SUI ARB OP FIL ATOM ETC XLM INJ "
            "1000PEPE SHIB1000 1000BONK 1000FLOKI WIF TIA SEI LDO HBAR ENA ONDO JUP WLD TON HYPE"
        ).split()
    ),
    "BTCPERP",
    "ETHPERP",
    "BTCUSD",
    "ETHUSD",
    "XRPUSD",
    "SOLUSD",
)

# What one contract is worth (coins, or USD if inverse), and whether it is inverse; `-FUTURES`: every expiry.
OKX_CONTRACTS: dict[str, tuple[str, bool]] = {
    "BTC-USDT-SWAP": ("0.01", False),
    "ETH-USDT-SWAP": ("0.1", False),
    "BTC-USD-SWAP": ("100", True),
    "BTC-USD-FUTURES": ("100", True),
}

HYPERLIQUID_ACCOUNTS: dict[str, str] = {
    "HLP Strategy A": "0x010461c14e146ac35fe42271bdc1134ee31c703a",
    "HLP Strategy B": "0x31ca8395cf837de08b24da3f660e77761dfb974b",
    "HLP Liquidator": "0x2e3d94f0562703b25c83308a05046ddaf9a8dd14",
    "HLP Liquidator 2": "0xb0a55f13d22f66e6d495ac98113841b2326e9540",
    "HLP Liquidator 3": "0x5e177e5e39c0f4e421f5865a6d8beed8d921cb70",
    "HLP Liquidator 4": "0x2ed5c4484ea3ff8b57d5f2fb152a40d9f2b68308",
}
