"""What each key of the settings means, for whoever writes `liqtape.toml`."""

__all__ = ["MEANINGS", "SECTIONS"]

SECTIONS: dict[str, str] = {
    "venues": "A section for each venue; a key that is not set here is as below.",
    "redis": "Where metrics and events are published.",
    "alerts": "What makes a level.",
    "price": "The price of BTC, which volatility is computed from.",
    "history": "Where accepted events are kept.",
    "web": "The page, the API and /metrics.",
}

MEANINGS: dict[str, str] = {
    "symbols": "Instruments to track, by any name (BTCUSDT, BTC/USDT:USDT, BTC for all of a coin); none: all.",
    "venues.enabled": "Whether the venue is connected.",
    "venues.ws_url": "Scheme and host that replace the venue's own for WebSockets, as wss://proxy.example:443.",
    "venues.rest_url": "Scheme and host that replace the venue's own for REST, as https://proxy.example.",
    "venues.symbols": "As symbols, which it replaces for this venue.",
    "venues.redundancy": "1 to 4 parallel connections that carry the same; repeats are dropped.",
    "venues.accounts": "At hyperliquid: the accounts whose fills are watched, at most 10; none: its own liquidators.",
    "redis.url": "embedded (a server of our own), off, or redis://, rediss://, unix:// and a server.",
    "redis.prefix": "Text before every key and channel.",
    "redis.persist": "Whether the embedded server keeps its data.",
    "alerts.rule": "return_period (how rarely a stream brings as much USD in 60 s), surprise or threshold.",
    "alerts.velocity_10s": "Rule threshold: liquidations/s over 10 s, above 0.",
    "alerts.acceleration": "Rule threshold: liquidations/s^2, above 0.",
    "alerts.acceleration_form": "least_squares, difference or exponential: the acceleration published and compared.",
    "alerts.watch": "Rule surprise: S of WATCH, above 1.",
    "alerts.alert": "Rule surprise: S of ALERT, at least that of WATCH.",
    "alerts.critical": "Rule surprise: S of CRITICAL, at least that of ALERT, at most 300.",
    "alerts.alert_count": "Rule surprise: liquidations in 60 s that ALERT needs.",
    "alerts.floor_usd": "USD in 60 s that CRITICAL needs at least.",
    "alerts.floors_usd": "The same for single instruments, as { BTCUSDT = 1000000.0 }.",
    "price.spot_url": "Scheme and host that replace those of Binance's spot stream, as wss://proxy.example:443.",
    "price.always": "Whether to connect for the price also where no enabled venue brings it.",
    "history.url": "A directory, off, or postgresql:// and a server; unset: the user's data directory.",
    "history.retention_days": "What is older is removed.",
    "history.retention_gb": "The oldest beyond so many GB is removed.",
    "history.seal": "Whether closed hours become Parquet files, which needs the extra analysis.",
    "history.synchronous": "NORMAL, or FULL: each commit waits for the disk.",
    "web.listen": "HOST:PORT or off.",
    "web.token": "What a client must know where others reach the address; by the environment alone.",
    "web.token_file": "A file whose first line is the token.",
    "web.hosts": "Names under which the page is opened, besides its addresses and localhost.",
}
"""By section and key; a key of a venue under `venues`."""
