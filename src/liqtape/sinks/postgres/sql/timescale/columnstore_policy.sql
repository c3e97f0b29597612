-- Two days: late events and back-fill come into rows, not into columns.
CALL add_columnstore_policy('liquidations', after => 172800000::bigint, if_not_exists => true);
