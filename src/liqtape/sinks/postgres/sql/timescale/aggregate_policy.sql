SELECT add_continuous_aggregate_policy(
    'liq_1m_aggregate',
    start_offset => 172800000::bigint,
    end_offset => 120000::bigint,
    schedule_interval => interval '1 minute',
    if_not_exists => true
);
