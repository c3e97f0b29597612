from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape.venues import VENUES
from liqtape.venues.base import Venue
from liqtape.venues.limits import RateLimit, RateLimiter


@given(
    st.lists(st.builds(RateLimit, st.integers(1, 5), st.floats(0.5, 20.0)), min_size=1, max_size=3),
    st.lists(st.floats(0.0, 3.0), max_size=60),
)
def test_no_interval_holds_more_than_its_pace(rate_limits: list[RateLimit], pauses: list[float]) -> None:
    rate_limiter = RateLimiter(rate_limits)
    now = 0.0
    passed: list[float] = []
    for pause in pauses:
        now += pause
        passed.append(rate_limiter.reserve(now))
    assert passed == sorted(passed)
    for rate_limit in rate_limits:
        for first, beyond in _runs(passed, rate_limit.count):
            assert beyond - first >= rate_limit.seconds * (1 - 1e-9)


def _runs(times: list[float], count: int) -> Iterator[tuple[float, float]]:
    return zip(times, times[count:], strict=False)


def test_what_does_not_pass_takes_no_place() -> None:
    rate_limiter = RateLimiter([RateLimit(1, 10.0)])
    assert [rate_limiter.passes(at) for at in (0.0, 5.0, 9.0, 10.0, 15.0)] == [True, False, False, True, False]


def test_without_a_pace_everything_passes() -> None:
    assert RateLimiter([]).reserve(3.0) == 3.0


@pytest.mark.parametrize("venue", VENUES.values(), ids=VENUES)
def test_every_venue_says_what_it_allows(venue: Venue) -> None:
    assert venue.limits.connections
    assert venue.limits.messages
    assert venue.limits.lifetime is None or venue.limits.lifetime > 3_600
