UPDATE liqtape_positions SET prices_ms = $2 WHERE log_id = $1;
