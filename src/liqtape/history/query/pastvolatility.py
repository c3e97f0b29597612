"""Past volatility of BTC, by the very code that follows it live, from bars of a second."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from liqtape.engine.price.pricevolatility import HALF_LIVES_S, LONG_S, SHORT_S, PriceVolatility
from liqtape.engine.price.selector import SILENCE_SECONDS
from liqtape.history.query.source import Source
from liqtape.history.query.streams import Ints

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["volatility_table"]

_BAR_MS = 1_000
_SHORT, _LONG = HALF_LIVES_S


def volatility_table(source: Source, at_ms: Ints) -> "pa.Table":
    """Return a row for each evaluation time; null where not defined.

    The price at a whole second is the close of the bar that ended there. Live it is also that of a trade exactly then,
    which the bars have in the next second: that is all they may differ by.
    """
    import pyarrow as pa

    schema = pa.schema(
        [
            ("at_ms", pa.int64()),
            ("btc_price", pa.float64()),
            ("btc_source", pa.string()),
            (f"realised_variance_{SHORT_S}s", pa.float64()),
            (f"volatility_annual_{SHORT_S}s", pa.float64()),
            ("jump_share", pa.float64()),
            ("jump_z", pa.float64()),
            (f"ewma_variance_{_SHORT}s", pa.float64()),
            (f"ewma_variance_{_LONG}s", pa.float64()),
            ("volatility_factor", pa.float64()),
            ("volatility_coverage", pa.float64()),
        ]
    )
    rows = _rows(source, at_ms.tolist())
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.table([pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)], schema=schema)


def _rows(source: Source, at_ms: Sequence[int]) -> list[tuple[float | str | None, ...]]:
    if not at_ms:
        return []
    bars = source.prices(at_ms[0] - 1000 * LONG_S, at_ms[-1])
    ends = [bar_ms + _BAR_MS for bar_ms in bars["bar_ms"].to_pylist()]
    closes, sources = bars["close"].to_pylist(), bars["source"].to_pylist()
    volatility = PriceVolatility()
    rows = []
    place = 0
    for moment_ms in at_ms:
        while place < len(ends) and ends[place] <= moment_ms:
            if place and (
                sources[place] != sources[place - 1] or ends[place] - ends[place - 1] > 1000 * SILENCE_SECONDS
            ):
                volatility.switched()  # nobody knows the return from one to the other
            volatility.add(closes[place], ends[place])
            place += 1
        is_fresh = place > 0 and moment_ms - ends[place - 1] <= 1000 * SILENCE_SECONDS
        if place and not is_fresh:
            volatility.switched()
        rows.append(
            (
                moment_ms,
                closes[place - 1] if is_fresh else None,
                sources[place - 1] if is_fresh else None,
                *_measures(volatility, moment_ms),
            )
        )
    return rows


def _measures(volatility: PriceVolatility, now_ms: int) -> tuple[float | None, ...]:
    realised = volatility.realised(now_ms)
    known = realised.n_returns > 0
    return (
        realised.rv if known else None,
        realised.sigma_annual,
        realised.jump_share,
        realised.jump_z,
        *(volatility.ewma(half_life_s, now_ms) for half_life_s in HALF_LIVES_S),
        volatility.volatility_factor(now_ms),
        volatility.long_coverage(now_ms),
    )
