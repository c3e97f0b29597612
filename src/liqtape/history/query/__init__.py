"""Questions to a history, answered as Arrow tables, whoever keeps it: local files or a PostgreSQL server."""
