"""Recordings: raw frames and records of what happened, in checksummed segments. They are written and read here."""
