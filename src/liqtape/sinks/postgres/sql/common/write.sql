-- A batch into the events, without repeats, and what was new of it into the minutes. A number that is none is null, as
-- in the local log. USD are summed as whole millionths; above 281 million the double product is not certain, the
-- decimal one is. Minutes are sorted, so that two writers do not wait for each other crosswise there.
WITH fresh AS (
    INSERT INTO liquidations
        (schema, venue, instrument, symbol, side, price, price_kind, quantity, notional_usd, event_ms, receive_ms, id,
    seq)
    SELECT
        $1, venue, instrument, symbol, side, nullif(price, 'NaN'), price_kind, nullif(quantity, 'NaN'),
        nullif(notional_usd, 'NaN'), event_ms, receive_ms, id, seq
    FROM liqtape_incoming
    ON CONFLICT DO NOTHING
    RETURNING venue, instrument, side, notional_usd, event_ms
), sized AS (
    SELECT
        event_ms - ((event_ms % 60000) + 60000) % 60000 AS minute_ms, venue, instrument, side, notional_usd,
        CASE WHEN abs(notional_usd) < 281474976 THEN round(notional_usd * 1e6)::bigint END AS micro_usd,
        CASE WHEN abs(notional_usd) >= 281474976 THEN notional_usd::text::numeric END AS large_usd
    FROM fresh
), minutes AS (
    INSERT INTO liq_1m_kept AS kept
        (minute_ms, venue, instrument, count, long_count, short_count, unsized, usd, long_usd, short_usd)
    SELECT
        minute_ms,
        venue,
        instrument,
        count(*),
        count(*) FILTER (WHERE side = 'long'),
        count(*) FILTER (WHERE side = 'short'),
        count(*) FILTER (WHERE notional_usd IS NULL),
        coalesce(sum(micro_usd), 0) * 0.000001 + coalesce(sum(large_usd), 0),
        coalesce(sum(micro_usd) FILTER (WHERE side = 'long'), 0) * 0.000001
            + coalesce(sum(large_usd) FILTER (WHERE side = 'long'), 0),
        coalesce(sum(micro_usd) FILTER (WHERE side = 'short'), 0) * 0.000001
            + coalesce(sum(large_usd) FILTER (WHERE side = 'short'), 0)
    FROM sized
    GROUP BY minute_ms, instrument, venue
    ORDER BY minute_ms, instrument, venue
    ON CONFLICT (minute_ms, instrument, venue) DO UPDATE SET
        count = kept.count + excluded.count,
        long_count = kept.long_count + excluded.long_count,
        short_count = kept.short_count + excluded.short_count,
        unsized = kept.unsized + excluded.unsized,
        usd = kept.usd + excluded.usd,
        long_usd = kept.long_usd + excluded.long_usd,
        short_usd = kept.short_usd + excluded.short_usd
)
SELECT count(*) FROM fresh;
