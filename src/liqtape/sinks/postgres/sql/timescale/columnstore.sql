-- By the names of 2.18 and newer.
ALTER TABLE liquidations SET (
    timescaledb.enable_columnstore,
    timescaledb.segmentby = 'instrument',
    timescaledb.orderby = 'event_ms'
);
