"""The event log: accepted events and what happened beside them, in SQLite, by one writer; recalled at a start."""
