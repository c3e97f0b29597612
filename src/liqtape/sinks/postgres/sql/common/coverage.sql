INSERT INTO coverage (log_id, venue, up_ms, down_ms) VALUES ($1, $2, $3, $4)
ON CONFLICT (venue, up_ms, log_id) DO UPDATE SET down_ms = excluded.down_ms;
