"""The local history: every accepted liquidation in SQLite, closed hours in Parquet files."""
