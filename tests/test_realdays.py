"""The comparison of level rules on real days: how it counts, and that the documentation shows what it gives."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from benchmarks import realdays
from benchmarks.measure import FULL
from benchmarks.realdays import (
    HEAD,
    SETS,
    Cascade,
    Minute,
    RealDays,
    Scored,
    Watched,
    lines,
    proportion_interval,
    score,
    tuned,
)

_PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "metrics.md"
_DAY_MS = 86_400_000


def test_a_raise_meets_a_cascade_from_two_minutes_before_its_start_to_half_a_minute_after_its_end() -> None:
    cascade = Cascade(1_000_000, 1_060_000, 2)

    met = [cascade.is_met_by(at_ms) for at_ms in (879_999, 880_000, 1_090_000, 1_090_001)]

    assert met == [False, True, True, False]


def test_scores_are_of_what_lies_in_the_watched_time() -> None:
    watched = Watched([(0, _DAY_MS), (2 * _DAY_MS, 3 * _DAY_MS)])
    cascades = [
        Cascade(1_000_000, 1_060_000, 3),
        Cascade(5_000_000, 5_060_000, 2),
        Cascade(9_000_000, 9_060_000, 3),
        Cascade(_DAY_MS + 1, _DAY_MS + 2, 3),  # began while nobody watched
    ]
    raises = [1_030_000, 1_040_000, 5_010_000, 20_000_000, _DAY_MS + 500_000]

    assert score(raises, cascades, watched) == Scored(
        days=2.0, raises=4, onsets=3, met=2, worst=2, worst_met=1, false=1, late_s=20.0
    )


def test_one_raise_may_meet_two_cascades_and_is_not_false() -> None:
    cascades = [Cascade(1_000_000, 1_010_000, 2), Cascade(1_030_000, 1_040_000, 2)]

    found = score([1_020_000], cascades, Watched([(0, _DAY_MS)]))

    assert (found.raises, found.met, found.false, found.late_s) == (1, 2, 0, 5.0)


def test_halves_are_of_the_watched_time() -> None:
    earlier, later = Watched([(0, 10), (100, 110), (200, 240)]).halves()

    assert (earlier.spans, later.spans) == ([(0, 10), (100, 110), (200, 210)], [(210, 240)])


def test_a_threshold_is_the_lowest_that_raises_no_more_often_than_wanted() -> None:
    # Episodes with peaks of 5, 3, 3 and 9: half a peak keeps one open, 300 s without end it.
    minutes = [
        Minute(600_000 * place + 1_000 * i, usd, 1)
        for place, usds in enumerate([(5.0, 4.0), (3.0,), (1.0, 3.0), (9.0, 6.0)])
        for i, usd in enumerate(usds)
    ]

    assert [tuned(minutes, lambda minute: minute.usd, wanted) for wanted in (4, 3.9, 2, 1, 0)] == [3, 5, 5, 9, 9]


def test_the_interval_of_a_proportion_is_that_of_the_score_test() -> None:
    for part, whole in ((0, 9), (3, 9), (49, 76), (76, 76)):
        low, high = proportion_interval(part, whole)

        for end in (low, high):
            error = (end * (1 - end) / whole) ** 0.5
            assert abs(part / whole - end) == pytest.approx(1.959964 * error, abs=1e-6)
        assert low - 1e-9 <= part / whole <= high + 1e-9
    assert proportion_interval(0, 0) == (0.0, 1.0)


def test_without_the_files_nothing_is_measured_and_a_line_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(realdays, "HISTORY", tmp_path)
    monkeypatch.setattr(sys, "argv", ["realdays"])

    assert realdays.run(FULL) == []
    realdays.main()

    printed = capsys.readouterr()
    assert printed.out.splitlines() == list(HEAD)
    assert printed.err.count("is not there: not measured") == 2 * len(SETS)


@pytest.mark.parametrize("one", SETS, ids=lambda one: one.stem)
def test_the_page_shows_what_the_command_gives(one: RealDays, history_file: Callable[[str], Path]) -> None:
    history_file(f"{one.stem}.parquet")
    page = _PAGE.read_text("utf-8")

    assert "\n".join(HEAD) in page
    assert "\n".join(lines(one)) in page
