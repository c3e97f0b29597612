"""What was known of the venues' instruments on 2026-11-22, for use until (or without) their own lists.

COIN-M contract sizes: Binance futures documentation (100 USD for BTC, 10 USD for the others). Bybit symbols: the most
traded; a symbol that is gone is refused and reported, the others stand.
"""

__all__ = ["AS_OF", "BINANCE_COIN_M", "BYBIT_SYMBOLS"]

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
