INSERT INTO gaps (log_id, venue, from_ms, until_ms, reason, filled) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (venue, from_ms, log_id) DO UPDATE SET
    until_ms = excluded.until_ms, reason = excluded.reason, filled = excluded.filled;
