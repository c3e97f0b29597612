-- Version 1 on plain PostgreSQL: a partition a day of event time, made ahead, and on demand for what is older. The two
-- outer ones take what no venue can mean, so that a wrong stamp makes no partition of its own.
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
) PARTITION BY RANGE (event_ms);
CREATE UNIQUE INDEX liquidations_identity ON liquidations (event_ms, venue, id) WHERE id <> '';
CREATE INDEX liquidations_instrument ON liquidations (instrument, event_ms);
CREATE INDEX liquidations_time ON liquidations USING brin (event_ms);
CREATE TABLE liquidations_before_2009 PARTITION OF liquidations FOR VALUES FROM (MINVALUE) TO (1230768000000);
CREATE TABLE liquidations_after_2099 PARTITION OF liquidations FOR VALUES FROM (4102444800000) TO (MAXVALUE);
