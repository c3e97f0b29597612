-- Where COPY puts a batch: only this session sees it, and it is empty after each commit.
CREATE TEMPORARY TABLE liqtape_incoming (
    seq bigint,
    venue text,
    instrument text,
    symbol text,
    side text,
    price double precision,
    price_kind text,
    quantity double precision,
    notional_usd double precision,
    event_ms bigint,
    receive_ms bigint,
    id text
) ON COMMIT DELETE ROWS;
