-- The minutes kept by TimescaleDB; what is not refreshed yet is computed when asked for. Above 281 million USD the
-- double product is not certain, the decimal one is (as in sql/write.sql).
CREATE MATERIALIZED VIEW liq_1m_aggregate
    WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT
    time_bucket(60000::bigint, event_ms) AS minute_ms,
    venue,
    instrument,
    count(*) AS count,
    sum(CASE WHEN side = 'long' THEN 1 ELSE 0 END) AS long_count,
    sum(CASE WHEN side = 'short' THEN 1 ELSE 0 END) AS short_count,
    sum(CASE WHEN notional_usd IS NULL THEN 1 ELSE 0 END) AS unsized,
    sum(CASE WHEN abs(notional_usd) < 281474976 THEN round(notional_usd * 1e6)::bigint END) AS micro_usd,
    sum(CASE WHEN abs(notional_usd) >= 281474976 THEN notional_usd::text::numeric END) AS large_usd,
    sum(CASE WHEN side = 'long' AND abs(notional_usd) < 281474976 THEN round(notional_usd * 1e6)::bigint END)
        AS long_micro_usd,
    sum(CASE WHEN side = 'long' AND abs(notional_usd) >= 281474976 THEN notional_usd::text::numeric END)
        AS long_large_usd,
    sum(CASE WHEN side = 'short' AND abs(notional_usd) < 281474976 THEN round(notional_usd * 1e6)::bigint END)
        AS short_micro_usd,
    sum(CASE WHEN side = 'short' AND abs(notional_usd) >= 281474976 THEN notional_usd::text::numeric END)
        AS short_large_usd
FROM liquidations
GROUP BY 1, 2, 3
WITH NO DATA;
CREATE OR REPLACE VIEW liq_1m AS
SELECT
    minute_ms,
    venue,
    instrument,
    count,
    long_count,
    short_count,
    unsized,
    coalesce(micro_usd, 0) * 0.000001 + coalesce(large_usd, 0) AS usd,
    coalesce(long_micro_usd, 0) * 0.000001 + coalesce(long_large_usd, 0) AS long_usd,
    coalesce(short_micro_usd, 0) * 0.000001 + coalesce(short_large_usd, 0) AS short_usd
FROM liq_1m_aggregate;
