-- Gaps that last here and are not in the log any more, as after a power cut: nobody would ever end them.
DELETE FROM gaps
WHERE log_id = $1 AND until_ms IS NULL AND (venue, from_ms) NOT IN (SELECT * FROM unnest($2::text[], $3::bigint[]));
