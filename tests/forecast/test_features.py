from collections.abc import Callable, Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.forecast.events import T0, liquidation, recounted

from liqtape.events import Liquidation
from liqtape.forecast.features import FEATURES, ISSUE_MS, LOOK_BACK_MS, StreamFeatures, issue_time

_SPAN_MS = LOOK_BACK_MS + 7_200_000
# On the edges of cells and windows as often as between them.
_OFFSETS = st.one_of(
    st.integers(0, _SPAN_MS),
    st.integers(0, _SPAN_MS // 5_000).map(lambda cell: 5_000 * cell),
    st.integers(0, _SPAN_MS // 5_000).map(lambda cell: 5_000 * cell + 1),
    st.integers(_SPAN_MS - 400_000, _SPAN_MS),
)
_EVENTS = st.lists(
    st.builds(
        lambda offset, usd, side: liquidation(T0 + offset, usd, side),
        _OFFSETS,
        st.one_of(st.none(), st.integers(0, 10**12).map(lambda micro: micro / 1_000_000)),
        st.sampled_from(["long", "short", None]),
    ),
    max_size=60,
)


def _assert_equal(row: Sequence[float], expected: Sequence[float]) -> None:
    exact = [name.startswith("ln_hawkes") or name == "ln_seconds_since" for name in FEATURES]
    for name, own, other, is_rounded in zip(FEATURES, row, expected, exact, strict=True):
        assert own == (pytest.approx(other, rel=1e-9, abs=1e-12) if is_rounded else other), name


def _assert_causal(made: Callable[[], StreamFeatures], events: Sequence[Liquidation], moments: Sequence[int]) -> None:
    """All events are given at once, and none may be in a row before its time."""
    features = made()
    for event in events:
        features.add(event)
    for now_ms in sorted(moments):
        _assert_equal(features.row(now_ms), recounted(events, now_ms))


@given(_EVENTS, st.lists(_OFFSETS.map(lambda offset: issue_time(T0 + offset)), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_a_row_is_a_recount_of_the_events_up_to_its_moment(events: list[Liquidation], moments: list[int]) -> None:
    _assert_causal(StreamFeatures, events, moments)


class _OneAhead(StreamFeatures):
    """Looks at the next event as well."""

    def row(self, now_ms: int) -> list[float]:
        later = sorted(event for event in self._waiting if event[0] > now_ms)
        if later:
            self._waiting.append((now_ms, *later[0][1:]))
        return super().row(now_ms)


def test_a_feature_that_looks_ahead_by_one_event_is_caught() -> None:
    events = [liquidation(T0 + 7_000), liquidation(T0 + 12_000)]

    with pytest.raises(AssertionError, match="ln_count"):
        _assert_causal(_OneAhead, events, [issue_time(T0 + ISSUE_MS)])


@given(_EVENTS, st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_the_order_in_which_events_come_changes_no_digit(events: list[Liquidation], seed: int) -> None:
    shuffled = list(events)
    Random(seed).shuffle(shuffled)
    now_ms = issue_time(T0 + _SPAN_MS)
    rows = []
    for order in (events, shuffled):
        features = StreamFeatures()
        for event in order:
            features.add(event)
        rows.append(features.row(now_ms))

    assert rows[0] == rows[1]


@given(_EVENTS, _OFFSETS)
@settings(max_examples=40, deadline=None)
def test_late_events_are_in_every_later_row(events: list[Liquidation], offset: int) -> None:
    features, first = StreamFeatures(), issue_time(T0 + offset)
    features.row(first)
    for event in events:
        features.add(event)
    later = max(first, issue_time(T0 + _SPAN_MS))

    kept = [event for event in events if event.event_ms > first - LOOK_BACK_MS]
    counts = slice(0, FEATURES.index("imbalance_60"))
    assert features.row(later)[counts] == recounted(kept, later)[counts]


@given(_EVENTS, st.integers(1, 2_000))
@settings(max_examples=30, deadline=None)
def test_rows_asked_between_change_no_row_behind_them(events: list[Liquidation], every: int) -> None:
    last = issue_time(T0 + _SPAN_MS)
    asked, plain = StreamFeatures(), StreamFeatures()
    for event in events:
        asked.add(event)
        plain.add(event)
    for now_ms in range(issue_time(T0), last, ISSUE_MS * every):
        asked.row(now_ms)

    assert asked.row(last) == plain.row(last)


def test_a_long_silence_empties_all_windows() -> None:
    features = StreamFeatures()
    features.add(liquidation(T0))
    now_ms = issue_time(T0 + 40 * LOOK_BACK_MS)

    assert features.row(now_ms)[: FEATURES.index("ln_seconds_since")] == [0.0] * FEATURES.index("ln_seconds_since")
    assert features.count(now_ms, 21_600) == 0


def test_events_older_than_every_window_are_counted() -> None:
    features = StreamFeatures()
    features.row(T0)
    features.add(liquidation(T0 - LOOK_BACK_MS - 10_000))
    features.row(T0)

    assert features.late_dropped == 1


def test_moments_are_fixed_beforehand_and_never_go_back() -> None:
    features = StreamFeatures()
    features.row(T0)

    with pytest.raises(ValueError, match="no moment of issue"):
        features.row(T0 + 1)
    with pytest.raises(ValueError, match="lies before"):
        features.row(T0 - ISSUE_MS)
