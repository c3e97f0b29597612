"""The windows of a column: what the engine says when it is fed one by one, to the last digit."""

import doctest
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

import liqtape.batch
from liqtape.batch import SIDES, windows
from liqtape.batch import ranks as ranks_module
from liqtape.batch.columns import WindowColumns
from liqtape.engine import VelocityEngine, Window
from liqtape.errors import MissingExtra
from liqtape.events import WINDOWS, Liquidation, Side, VelocityMetrics
from liqtape.money import micro_of

_T = 1_790_000_000_000
_TEN_YEARS_MS = 10 * 365 * 86_400_000

Row = tuple[int, float | None, Side | None, str]  # time, USD, side, instrument


def _added(engine: VelocityEngine, row: Row) -> None:
    event_ms, usd, side, instrument = row
    engine.add(Liquidation("bybit", instrument, instrument, side, 1.0, "fill", None, usd, event_ms))


def _row(columns: WindowColumns) -> Callable[[int], dict[str, Any]]:
    """All columns, to be read row by row."""
    table: dict[str, Any] = {"acceleration": columns.acceleration(), "acceleration_se": columns.acceleration_se()}
    for w in WINDOWS:
        table |= {
            f"event_count_{w}s": columns.count(w),
            f"velocity_{w}s": columns.velocity(w),
            f"usd_velocity_{w}s": columns.usd_velocity(w),
            f"micro_{w}s": columns.micro(w),
            f"velocity_se_{w}s": columns.velocity_se(w),
            f"imbalance_count_{w}s": columns.imbalance_count(w),
            f"imbalance_usd_{w}s": columns.imbalance_usd(w),
        }
        for side in ("long", "short"):
            table |= {f"{side}_count_{w}s": columns.count(w, side), f"{side}_usd_{w}s": columns.usd(w, side)}
    table["total_value_usd"] = columns.usd(300)
    lists = {name: values.tolist() for name, values in table.items()}
    return lambda i: {name: None if values[i] != values[i] else values[i] for name, values in lists.items()}


def _told(engine: VelocityEngine, instrument: str, now_ms: int, names: Sequence[str]) -> dict[str, Any]:
    """What the engine says under these names; zeros for an instrument it does not know."""
    metrics = engine.metrics(instrument, now_ms)
    told: dict[str, Any] = {}
    for w in WINDOWS:
        window = engine.window(instrument, w, now_ms) or Window(w, 0, 0, 0, 0, 0, None)
        told |= {
            f"micro_{w}s": window.micro,
            f"velocity_se_{w}s": window.se_velocity,
            f"imbalance_count_{w}s": window.imbalance_count,
            f"imbalance_usd_{w}s": window.imbalance_usd,
        }
    of_metrics = [name for name in names if name not in told]
    assert set(of_metrics) <= set(VelocityMetrics.__struct_fields__)
    return told | {name: 0 if metrics is None else getattr(metrics, name) for name in of_metrics}


def _compare_after_each(rows: Sequence[Row], columns: WindowColumns) -> None:
    engine, row_of = VelocityEngine(), _row(columns)
    assert len(columns.now_ms) == len(rows)
    for i in sorted(range(len(rows)), key=lambda i: rows[i][0]):
        _added(engine, rows[i])
        expected = row_of(i)
        assert _told(engine, rows[i][3], rows[i][0], list(expected)) == expected


_USD = st.one_of(
    st.none(),
    st.floats(1e-6, 1e6).map(lambda usd: round(usd, 2)),
    st.floats(-1e14, 1e15),
    st.sampled_from([0.0, 5e-7, 1.5e-6, 2.5e-6, 9e12, 9e12, 1e15, 123_456_789_012.345_67]),
)
_GAPS = st.one_of(
    st.just(0),
    st.integers(0, 20_000),
    st.sampled_from([w * 1000 + d for w in (*WINDOWS, 20) for d in (-1, 0, 1)]),
    st.sampled_from([-1, -9_999, 400_000, _TEN_YEARS_MS]),
)
_EVENTS = st.lists(
    st.tuples(_GAPS, _USD, st.sampled_from(SIDES), st.sampled_from(["BTCUSDT", "ETHUSDT", "牛来USDT"])), max_size=25
)


def _rows_of(steps: Sequence[tuple[int, float | None, Side | None, str]]) -> list[Row]:
    rows, clock = [], _T
    for gap, usd, side, instrument in steps:
        clock += gap
        rows.append((clock, usd, side, instrument))
    return rows


def _split(rows: Sequence[Row]) -> list[Any]:
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[], [], [], []]
    return [columns[0], np.array(columns[1], object), np.array(columns[2], object), columns[3]]


@given(_EVENTS)
@settings(max_examples=80)
def test_after_each_event_equals_the_engine(steps: list[tuple[int, float | None, Side | None, str]]) -> None:
    rows = _rows_of(steps)

    _compare_after_each(rows, windows(*_split(rows)))


@given(_EVENTS, st.lists(st.tuples(_GAPS, st.sampled_from(["BTCUSDT", "牛来USDT", "NEVERUSDT"])), max_size=10))
@settings(max_examples=60)
def test_at_evaluation_times_equals_the_engine(
    steps: list[tuple[int, float | None, Side | None, str]], asked: list[tuple[int, str]]
) -> None:
    rows, moments, clock = _rows_of(steps), [], _T - 15_000
    for gap, instrument in asked:
        clock += gap
        moments.append((clock, instrument))

    columns = windows(*_split(rows), at_ms=[at for at, _ in moments], at_instrument=[name for _, name in moments])

    row_of = _row(columns)
    assert columns.now_ms.tolist() == [at for at, _ in moments]
    for i, (now, instrument) in enumerate(moments):
        engine, expected = VelocityEngine(), row_of(i)
        for row in sorted(rows, key=lambda row: row[0]):
            if row[0] <= now:
                _added(engine, row)
        assert _told(engine, instrument, now, list(expected)) == expected


@given(
    st.lists(st.integers(0, 60), max_size=60).map(sorted),
    st.lists(st.integers(-5, 90), max_size=60).map(sorted),
    st.sampled_from([0, 3, 17]),
    st.sampled_from([1, 2, 7, 1 << 16]),
    st.sampled_from([(1, 1), (2, 16), (2, 2), (16, 16)]),
)
@settings(max_examples=200)
def test_ranks_equal_a_count_whatever_the_stretches_and_tables(
    keys: list[int], moments: list[int], zoom: int, stretch: int, cells: tuple[int, int]
) -> None:
    keys, moments = [key << zoom for key in keys], [moment << zoom for moment in moments]
    offsets = [0, 1, 10 << zoom, (40 << zoom) + 1]

    with mock.patch.multiple(ranks_module, _STRETCH=stretch, _CELLS=cells[0], _MOST_CELLS=cells[1]):
        told = ranks_module.ranks(np.array(keys, np.int64), np.array(moments, np.int64), offsets)

    for offset, column in zip(offsets, told, strict=True):
        assert column.tolist() == [sum(key <= moment - offset for key in keys) for moment in moments]


@pytest.mark.parametrize(
    ("name", "start", "instruments"),
    [
        ("binance_all_20251211_0136_0230.parquet", 0, True),
        ("bitmex_xbtusd_20200416_20200508.parquet", 4_000, False),
        ("hl_20251010_RECONSTRUCTED_events.parquet", 9_000, True),
    ],
)
def test_history_equals_the_engine(
    history_file: Callable[[str], Path], name: str, start: int, *, instruments: bool
) -> None:
    table = parquet.read_table(history_file(name)).slice(start, 2_500)
    usd, symbols = table["value_usd"].to_numpy(), table["symbol"].to_pylist()
    sides: list[Any] = [side.lower() for side in table["side"].to_pylist()]
    times = table["ts_ms"].to_numpy()

    columns = windows(times, usd, sides, symbols if instruments else None)

    _compare_after_each(list(zip(times.tolist(), usd.tolist(), sides, symbols, strict=True)), columns)


def test_a_large_column_equals_two_pointers() -> None:
    draw = np.random.default_rng(1)
    times = _T + np.cumsum((draw.exponential(3.0, 200_000) ** 3).astype(np.int64))
    codes, micro = draw.integers(0, 3, len(times)), draw.integers(0, 10**12, len(times))

    columns = windows(times, micro, np.zeros(len(times), np.int8), codes)

    for code in range(3):
        mine = codes == code
        own, sums = times[mine], np.concatenate([[0], np.cumsum(micro[mine])])
        for w in WINDOWS:
            tails = np.searchsorted(own, own - 1000 * w, "right")
            assert (columns.count(w)[mine] == np.arange(1, len(own) + 1) - tails).all()
            assert (columns.micro(w)[mine] == sums[1:] - sums[tails]).all()


def test_a_million_events_of_one_millisecond_are_counted_one_after_the_other() -> None:
    n = 1_000_000
    columns = windows(np.full(n, _T), np.ones(n, np.int64), np.ones(n, np.int8))

    assert (columns.count(10) == np.arange(1, n + 1)).all()
    assert (columns.micro(300, "short") == np.arange(1, n + 1)).all()


def test_sums_beyond_64_bits_are_exact() -> None:
    largest = 2**63 - 1
    columns = windows([_T, _T + 1, _T + 2], [largest, largest, -5], ["long"] * 3)

    assert columns.micro(10).tolist() == columns.micro(10, "long").tolist() == [largest, 2 * largest, 2 * largest - 5]
    assert columns.usd(10).tolist() == [largest / 10**6, 2 * largest / 10**6, (2 * largest - 5) / 10**6]


@pytest.mark.parametrize("usd", [[1e15, 2.5], [10**21, 2_500_000]], ids=["floats", "integers"])
def test_an_amount_beyond_64_bits_is_exact(usd: list[float]) -> None:
    columns = windows([_T, _T + 1], np.array(usd), ["short", "long"])

    assert columns.micro(30).tolist() == [10**21, 10**21 + 2_500_000]
    assert columns.micro(30, "long").tolist() == [0, 2_500_000]


def test_a_column_whose_whole_sum_is_beyond_64_bits_stays_compact_while_windows_fit() -> None:
    columns = windows(_T + 400_000 * np.arange(10), np.full(10, 2**62), np.zeros(10, np.int8))

    assert columns.micro(300).dtype == np.int64
    assert (columns.micro(300, "long") == 2**62).all()


def test_a_share_of_large_sums_is_the_nearest_float() -> None:
    long, short = 81_152_246_402_169_796, 81_152_116_457_637_767
    columns = windows([_T, _T], [long, short], ["long", "short"])

    assert float(long - short) / float(long + short) != (long - short) / (long + short)
    assert columns.imbalance_usd(10).tolist() == [1.0, (long - short) / (long + short)]


def test_floats_are_rounded_as_the_engine_rounds_them() -> None:
    usd = [0.5e-6, 1.5e-6, 0.1 + 0.2, 123_456_789.012_345_5, 9_999_999.999_999_5, 1e9 + 0.000_000_5]

    columns = windows([_T + 400_000 * i for i in range(len(usd))], usd, ["long"] * len(usd))

    assert columns.micro(10).tolist() == [micro_of(amount) for amount in usd]


@pytest.mark.parametrize("unsigned", [np.uint64, np.int32])
def test_any_integers_are_micro_usd(unsigned: type) -> None:
    assert windows([_T], np.array([7], unsigned), ["long"]).micro(10).tolist() == [7]


def test_many_instruments_by_any_code() -> None:
    codes = np.array([10**12, 5, 10**12, -3])

    assert windows([_T] * 4, [1.0] * 4, [0] * 4, codes).count(10).tolist() == [1, 1, 2, 1]


def test_one_instrument_for_all_evaluations() -> None:
    columns = windows([_T, _T], [1.0, 2.0], [0, 1], ["A", "B"], at_ms=[_T + 9_999, _T, _T + 10_000], at_instrument="B")

    assert columns.micro(10).tolist() == [2_000_000, 2_000_000, 0]
    assert columns.now_ms.tolist() == [_T + 9_999, _T, _T + 10_000]


@pytest.mark.parametrize("at_ms", [None, [], [_T, 0]])
def test_no_events_have_no_windows(at_ms: list[int] | None) -> None:
    columns = windows([], [], [], at_ms=at_ms)

    rows = len(at_ms or [])
    assert columns.count(10).tolist() == columns.micro(300, "long").tolist() == [0] * rows
    assert columns.acceleration().tolist() == [0.0] * rows


@pytest.mark.parametrize(
    ("columns", "also", "message"),
    [
        (([_T], [1.0, 2.0], ["long"]), {}, "columns of different lengths"),
        (([[_T]], [1.0], ["long"]), {}, "event_ms is not a column"),
        (([_T], [[1.0]], ["long"]), {}, "usd is not a column"),
        (([_T], [1.0], "long"), {}, "side is not a column"),
        (([_T + 0.5], [1.0], ["long"]), {}, "event_ms holds float64, not integers"),
        (([_T], [1.0], ["LONG"]), {}, "side holds .*LONG"),
        (([_T], [1.0], [3]), {}, "side holds"),
        (([_T], [1.0], [True]), {}, "side holds"),
        (([_T], [float("inf")], ["long"]), {}, "usd holds infinity"),
        (([_T], ["1"], ["long"]), {}, "usd holds <U1, not numbers"),
        (([_T], [1.0], ["long"], ["A", "B"]), {}, "columns of different lengths"),
        (([_T], [1.0], ["long"], "A"), {}, "instrument is not a column"),
        (([_T], [1.0], ["long"], ["A"]), {"at_ms": [_T]}, "at_instrument has to say"),
        (([_T], [1.0], ["long"]), {"at_ms": _T}, "at_ms is not a column"),
        (([_T], [1.0], ["long"]), {"at_ms": [_T], "at_instrument": ["A"]}, "needs a column of instruments"),
        (([-(2**62), 2**62], [1.0, 1.0], [0, 0], ["A", "B"]), {}, "are too many"),
    ],
)
def test_columns_that_are_not_what_they_should_be_are_refused(
    columns: tuple[Any, ...], also: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        windows(*columns, **also)


@pytest.mark.parametrize("what", ["count", "micro", "velocity", "usd_velocity"])
def test_another_window_is_refused(what: str) -> None:
    columns = windows([_T], [1.0], ["long"])

    with pytest.raises(ValueError, match="not of 15"):
        getattr(columns, what)(15)


def test_without_numpy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)

    with pytest.raises(MissingExtra, match=r"liqtape\[analysis\]"):
        windows([_T], [1.0], ["long"])


def test_the_module_alone_does_not_load_numpy() -> None:
    script = "import sys, liqtape.batch; sys.exit('numpy' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", script], timeout=20, check=False).returncode == 0


def test_examples() -> None:
    for module in (liqtape.batch, ranks_module):
        failed, attempted = doctest.testmod(module)
        assert (failed, attempted > 0) == (0, True)


def test_windows_of_any_length_and_their_errors() -> None:
    rows = windows([0, 1_000, 3_600_000], [3.0, 4.0, math.nan], ["long"] * 3, seconds=[1, 3_600])

    assert rows.count(3_600).tolist() == [1, 2, 2]
    assert rows.count(1).tolist() == [1, 1, 1]
    assert rows.usd_velocity_se(3_600).tolist() == [3 / 3_600, 5 / 3_600, 4 / 3_600]
    assert windows([0], [1e300], ["long"]).usd_velocity_se(10).tolist() == [1e299]


def test_a_window_without_a_length_is_refused() -> None:
    with pytest.raises(ValueError, match="at least a second"):
        windows([0], [1.0], ["long"], seconds=[0])
