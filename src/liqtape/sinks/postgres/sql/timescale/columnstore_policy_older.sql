SELECT add_compression_policy('liquidations', 172800000::bigint, if_not_exists => true);
