"""Looks at the running service: feeds that fail to deliver, clocks, ledgers and frames nobody could decode."""
