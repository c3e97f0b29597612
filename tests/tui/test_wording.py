import pytest

from liqtape.tui.wording import clock, days, duration, usd


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (0.0, "0"),
        (999.4, "999"),
        (999.5, "1.0k"),
        (12_345.0, "12.3k"),
        (999_949.0, "999.9k"),
        (999_950.0, "1.00M"),
        (3_400_000.0, "3.40M"),
        (999_995_000.0, "1.00B"),
        (2.5e9, "2.50B"),
        (-12_345.0, "-12.3k"),
    ],
)
def test_usd_as_a_trader_reads_it(amount: float, expected: str) -> None:
    assert usd(amount) == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0.0, "0 min"), (1 / 24, "1.0 h"), (1.99, "47.8 h"), (2.0, "2 d"), (999.0, "999 d"), (1e12, ">99 y")],
)
def test_return_periods_have_the_unit_that_suits_them(number: float, expected: str) -> None:
    assert days(number) == expected


def test_no_time_runs_backwards() -> None:
    assert duration(-5.0) == "0:00"


@pytest.mark.parametrize("at_ms", [10**18, -(10**18)])
def test_a_stamp_that_no_calendar_has_is_a_dash(at_ms: int) -> None:
    assert clock(at_ms) == "–"  # noqa: RUF001
