-- Nobody else's transaction may have moved it meanwhile, as one whose connection was lost before its commit came through.
UPDATE liqtape_positions SET seq = $3, fingerprint = $4, moved_at = now() WHERE log_id = $1 AND seq = $2;
