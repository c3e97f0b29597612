from typing import Any

import pytest

from liqtape.tui.instrumentcolumns import API_COLUMNS, COLUMNS, columns_within, heading_line, row_line


def test_numbers_stand_in_their_columns(make: Any) -> None:
    busy = make.table_row(
        "BTCUSDT",
        velocity_10s=6.5,
        velocity_60s=2.25,
        velocity_300s=0.5,
        acceleration=-0.125,
        usd_60s=120_000.0,
        long_usd_60s=90_000.0,
        short_usd_60s=30_000.0,
        total_value_usd=3.4e6,
        level="ALERT",
        times_usual=38.2,
        return_days=12.3,
        watched_days=14.0,
        is_learning=False,
    )

    assert row_line(columns_within(200), busy).plain.split() == (
        "BTCUSDT ALERT 6.50 2.25 120.0k 38x 12 d -0.125 75 3.40M 0.500 90.0k 30.0k".split()
    )


@pytest.mark.parametrize("width", range(1, 260))
def test_heads_and_cells_end_together_and_fit(make: Any, width: int) -> None:
    columns = columns_within(width)
    lines = [
        heading_line(columns),
        *(row_line(columns, make.table_row(name)) for name in ("BTCUSDT", "牛来USDT", "e\u0301USDT")),
    ]

    assert len({line.cell_len for line in lines}) == 1
    assert lines[0].cell_len <= max(width, 10)
    assert [column.title for column in columns] == [column.title for column in COLUMNS[: len(columns)]]


def test_eighty_columns_have_what_decides() -> None:
    heads = [column.title for column in columns_within(80)]

    assert heads == ["instrument", "level", "10s/s", "60s/s", "USD 60s", "x usual", "once in", "seen", "accel/s²"]


@pytest.mark.parametrize(
    ("coverage", "said"),
    [(None, "part"), (1.0, "part"), (0.5, "50%"), (0.999, "99%")],
    ids=["unknown", "whole", "half", "nearly"],
)
def test_partial_rows_say_how_much_was_seen(make: Any, coverage: float | None, said: str) -> None:
    row = make.table_row("BTCUSDC", partial=True, coverage_300s=coverage)

    assert said in row_line(columns_within(80), row).plain.split()
    assert said not in row_line(columns_within(80), make.table_row("BTCUSDC", coverage_300s=coverage)).plain.split()


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"return_days": None}, "–"),  # noqa: RUF001
        ({"watched_days": 2.0, "is_learning": True}, "~36.0"),
        ({"watched_days": 9.0, "is_learning": False}, "36.0"),
        ({"watched_days": 1.0, "is_learning": False}, "~36.0"),
        ({"watched_days": None, "is_learning": False}, "36.0"),
    ],
    ids=["unknown", "learning", "known", "beyond what was watched", "not told"],
)
def test_a_return_period_says_whether_it_is_rough(make: Any, known: dict[str, Any], said: str) -> None:
    assert said in row_line(columns_within(80), make.table_row("BTCUSDC", **known)).plain.split()


def test_what_a_throttle_hides_is_said(make: Any) -> None:
    line = row_line(columns_within(200), make.table_row("BTCUSDC", saturated=True, velocity_est_10s=4.25)).plain.split()

    assert "≥1.50" in line
    assert line[-1] == "4.2"


def test_unknown_is_a_dash_and_sorts_as_none(make: Any) -> None:
    row = make.table_row("BTCUSDT", times_usual=None, return_days=None, long_usd_60s=0.0, short_usd_60s=0.0)
    unknown = [column.title for column in COLUMNS if column.cell(row).plain == "–"]  # noqa: RUF001

    assert unknown == ["x usual", "once in", "long%"]
    assert [column.number(row) for column in COLUMNS if column.title in unknown] == [None, None, None]


def test_rows_of_the_api_have_a_line_of_five_minutes(make: Any) -> None:
    row = make.table_row("BTCUSDT", spark=[0] * 57 + [1, 0, 7], venues=["bybit", "okx"])

    line = row_line(columns_within(250, API_COLUMNS), row).plain

    assert "█" in line.split()
    assert line.rstrip().endswith(" bybit okx")
