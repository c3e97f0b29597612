-- What `now` is in the unit of event_ms: every policy needs it.
CREATE OR REPLACE FUNCTION liqtape_now_ms() RETURNS bigint
    LANGUAGE sql STABLE AS 'SELECT (extract(epoch FROM now()) * 1000)::bigint';
SELECT set_integer_now_func('liquidations', 'liqtape_now_ms', replace_if_exists => true);
