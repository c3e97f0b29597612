SELECT drop_chunks('liquidations', older_than => $1::bigint);
