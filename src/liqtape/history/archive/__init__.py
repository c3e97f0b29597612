"""Closed hours of the log in Parquet files: written and trimmed by a process of their own, read by all."""
