-- Version 1: what both layouts share. Positions: how far each local event log has been written here, which event that
-- was, and when the log was last known to be alive.
CREATE TABLE liqtape_positions (
    log_id text PRIMARY KEY,
    seq bigint NOT NULL DEFAULT 0,
    fingerprint text NOT NULL DEFAULT '',
    prices_ms bigint NOT NULL DEFAULT 0,
    alive_ms bigint NOT NULL DEFAULT 0,
    moved_at timestamptz NOT NULL DEFAULT now()
);
-- What of TimescaleDB works here, as it was tried.
CREATE TABLE liqtape_capabilities (
    name text PRIMARY KEY,
    works boolean NOT NULL,
    detail text NOT NULL,
    tried_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE gaps (
    log_id text NOT NULL,
    venue text NOT NULL,
    from_ms bigint NOT NULL,
    until_ms bigint,
    reason text NOT NULL,
    filled boolean NOT NULL,
    PRIMARY KEY (venue, from_ms, log_id)
);
CREATE TABLE coverage (
    log_id text NOT NULL,
    venue text NOT NULL,
    up_ms bigint NOT NULL,
    down_ms bigint,
    PRIMARY KEY (venue, up_ms, log_id)
);
-- BTC, one second a bar.
CREATE TABLE prices (
    bar_ms bigint NOT NULL,
    open double precision NOT NULL,
    high double precision NOT NULL,
    low double precision NOT NULL,
    close double precision NOT NULL,
    volume double precision,
    trades bigint NOT NULL,
    source text NOT NULL,
    PRIMARY KEY (bar_ms, source)
);
-- Counts and exact USD of each minute of event time. Ask the view: where TimescaleDB keeps the minutes, it shows those.
CREATE TABLE liq_1m_kept (
    minute_ms bigint NOT NULL,
    venue text NOT NULL,
    instrument text NOT NULL,
    count bigint NOT NULL,
    long_count bigint NOT NULL,
    short_count bigint NOT NULL,
    unsized bigint NOT NULL,
    usd numeric NOT NULL,
    long_usd numeric NOT NULL,
    short_usd numeric NOT NULL,
    PRIMARY KEY (minute_ms, instrument, venue)
) WITH (fillfactor = 80);
CREATE VIEW liq_1m AS SELECT * FROM liq_1m_kept;
