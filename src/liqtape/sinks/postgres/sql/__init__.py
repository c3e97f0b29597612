"""The SQL of the PostgreSQL sink, a file a statement or script: `common`, `plain` PostgreSQL, `timescale`."""

from functools import cache
from importlib.resources import files

__all__ = ["VERSION", "sql"]

VERSION = 1
"""Of the tables: `common/NNN.sql`, then `plain/NNN.sql` or `timescale/NNN.sql`, lead from the version before."""


@cache
def sql(name: str) -> str:
    """Return the text of a file, as in `sql("common/write")`."""
    return files(__package__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
