from hypothesis import given
from hypothesis import strategies as st

from liqtape.forecast.watchedspans import WatchedSpans

_HOUR = 3_600_000
_GAPS = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 60)).map(lambda gap: (gap[0], gap[0] + gap[1])), max_size=12
)


@given(_GAPS, st.integers(0, 400), st.integers(1, 400))
def test_what_is_missing_is_the_union_of_the_gaps(gaps: list[tuple[int, int]], begin: int, length: int) -> None:
    watched = WatchedSpans(["bybit"])
    watched.up("bybit", 0)
    for gap in gaps:
        watched.missed(*gap)
    end = begin + length

    missing = {ms for gap in gaps for ms in range(*gap)}
    assert watched.missing_ms(begin, end) == len(missing.intersection(range(begin, end)))


def test_all_venues_have_to_be_watched() -> None:
    watched = WatchedSpans(["bybit", "okx"])
    watched.up("okx", 0)
    assert watched.why_not(_HOUR) == "not watched: bybit"
    watched.up("bybit", _HOUR)
    assert watched.why_not(_HOUR + 400_000) == "watched 6 of the last 60 minutes"
    assert watched.why_not(2 * _HOUR) == ""
    watched.down("okx", 2 * _HOUR)
    assert watched.why_not(2 * _HOUR + 1_000) == "not watched now: okx"
    watched.up("okx", 2 * _HOUR + 10_000)
    assert watched.why_not(2 * _HOUR + 20_000) == "there is a gap in the last 300 s"
    assert watched.why_not(2 * _HOUR + 320_000) == ""


def test_a_venue_that_is_not_asked_about_changes_nothing() -> None:
    watched = WatchedSpans(["bybit"])
    watched.up("bybit", 0)
    watched.up("okx", 0)
    watched.down("okx", 5)
    assert watched.why_not(2 * _HOUR) == ""


def test_spans_that_are_known_before() -> None:
    watched = WatchedSpans.between([(0, 2 * _HOUR), (3 * _HOUR, 6 * _HOUR)])
    assert watched.why_not(_HOUR) == ""
    assert watched.why_not(2 * _HOUR + 10_000) == "there is a gap in the last 300 s"
    assert watched.why_not(3 * _HOUR + 600_000) == "watched 10 of the last 60 minutes"
    assert watched.why_not(4 * _HOUR) == ""
    assert watched.missing_ms(6 * _HOUR, 7 * _HOUR) == _HOUR


def test_gaps_beyond_the_bound_are_joined_and_never_forgotten() -> None:
    watched = WatchedSpans(["bybit"])
    watched.up("bybit", 0)
    for second in range(3_000):
        watched.missed(1_000 * second, 1_000 * second + 1)
    assert watched.missing_ms(0, 3_000_000) >= 3_000
