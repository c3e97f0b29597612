INSERT INTO prices (bar_ms, open, high, low, close, volume, trades, source) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (bar_ms, source) DO UPDATE SET
    open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close, volume = excluded.volume,
    trades = excluded.trades;
