"""The local history: every accepted liquidation in SQLite, closed hours in Parquet files, and questions to it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from liqtape.engine import VelocityEngine
    from liqtape.history.query.query import History

__all__ = ["open", "to_pandas", "to_polars"]

_SERVERS = ("postgres://", "postgresql://")


def open(  # noqa: A001 - as in liqtape.history.open(path)
    path_or_url: str | Path, new_engine: "Callable[[], VelocityEngine] | None" = None
) -> "History":
    """Open the history in a directory or on a PostgreSQL server, to ask from one thread; needs the extra `analysis`.

    `new_engine` makes engines with another rule of levels than the default, as
    `lambda: VelocityEngine(rule=ReturnPeriods(critical_usd=500_000.0))`. Works while the service writes. Raises
    ConfigurationError where there is no history, or none that can be read.
    """
    _require("pyarrow", "asking the history", "analysis")
    _require("numpy", "asking the history", "analysis")
    from liqtape.engine import VelocityEngine
    from liqtape.history.query.query import History

    if str(path_or_url).startswith(_SERVERS):
        from liqtape.history.query.postgressource import PostgresSource

        return History(PostgresSource(str(path_or_url)), new_engine or VelocityEngine)
    from liqtape.history.query.localsource import LocalSource

    return History(LocalSource(Path(path_or_url)), new_engine or VelocityEngine)


def to_pandas(table: "pa.Table") -> Any:
    """Return the table as a pandas DataFrame."""
    _require("pandas", "a DataFrame of pandas")
    return table.to_pandas()


def to_polars(table: "pa.Table") -> Any:
    """Return the table as a Polars DataFrame, which shares its memory."""
    _require("polars", "a DataFrame of Polars")
    import polars

    return polars.from_arrow(table)


def _require(module: str, feature: str, extra: str = "") -> None:
    from importlib.util import find_spec

    from liqtape.errors import ConfigurationError, MissingExtra

    if find_spec(module) is None:
        if extra:
            raise MissingExtra(feature, extra)
        raise ConfigurationError(f"{feature} needs {module}: pip install {module}")
