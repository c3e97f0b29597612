-- Version 1 with TimescaleDB: a hypertable, a chunk a day of event time. By the names of 2.13 and newer.
CREATE TABLE liquidations (
    schema smallint NOT NULL,
    venue text NOT NULL,
    instrument text NOT NULL,
    symbol text NOT NULL,
    side text,
    price double precision,
    price_kind text NOT NULL,
    quantity double precision,
    notional_usd double precision,
    event_ms bigint NOT NULL,
    receive_ms bigint,
    id text NOT NULL,
    seq bigint NOT NULL
);
SELECT create_hypertable('liquidations', by_range('event_ms', 86400000::bigint), create_default_indexes => false);
CREATE UNIQUE INDEX liquidations_identity ON liquidations (event_ms, venue, id) WHERE id <> '';
CREATE INDEX liquidations_instrument ON liquidations (instrument, event_ms);
CREATE INDEX liquidations_time ON liquidations USING brin (event_ms);
