"""The PostgreSQL sink: follows the event log into tables of a server, with TimescaleDB where it works."""
