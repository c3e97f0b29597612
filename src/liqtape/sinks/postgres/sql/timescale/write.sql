-- As common/write.sql where the minutes are a continuous aggregate.
WITH fresh AS (
    INSERT INTO liquidations
        (schema, venue, instrument, symbol, side, price, price_kind, quantity, notional_usd, event_ms, receive_ms, id,
    seq)
    SELECT
        $1, venue, instrument, symbol, side, nullif(price, 'NaN'), price_kind, nullif(quantity, 'NaN'),
        nullif(notional_usd, 'NaN'), event_ms, receive_ms, id, seq
    FROM liqtape_incoming
    ON CONFLICT DO NOTHING
    RETURNING event_ms
)
SELECT count(*) FROM fresh;
