-- Spells that last here and are not in the log any more, as after a power cut: they would cover all that is to come.
DELETE FROM coverage
WHERE log_id = $1 AND down_ms IS NULL AND (venue, up_ms) NOT IN (SELECT * FROM unnest($2::text[], $3::bigint[]));
