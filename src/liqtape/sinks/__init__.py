"""The output edge: everything that awaits a write."""
