UPDATE liqtape_positions SET alive_ms = $2 WHERE log_id = $1;
