"""Live shares of windows: a recount by the millisecond."""

import math
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from liqtape.history.query.observedtime import ObservedTime

_spells = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 4_000), st.integers(0, 1_500)).map(
        lambda s: (s[0], s[1], s[1] + s[2])
    )
)


def _live(spells: list[tuple[str, int, int]], venue: str) -> set[int]:
    """Milliseconds, each named by its end."""
    return {at for name, up, down in spells if name == venue for at in range(up + 1, down + 1)}


@given(_spells, st.integers(-500, 6_000))
def test_shares_are_those_of_a_recount(spells: list[tuple[str, int, int]], at_ms: int) -> None:
    window = set(range(at_ms - 1_000 + 1, at_ms + 1))
    known = {name for name, _, _ in spells}

    (share,) = ObservedTime(spells).shares(["a", "b", "c"], np.array([at_ms]), 1).tolist()

    if not known:
        assert math.isnan(share)
    else:
        assert share == min(len(window & _live(spells, name)) for name in known) / 1_000


@given(_spells, st.integers(0, 3_000), st.integers(1, 3_000))
def test_dark_is_what_is_not_live(spells: list[tuple[str, int, int]], from_ms: int, length: int) -> None:
    until_ms = from_ms + length
    known = {name for name, _, _ in spells}

    dark = ObservedTime(spells).dark(["a", "b"], from_ms, until_ms)

    whole = set(range(from_ms + 1, until_ms + 1))
    missed = set[int]().union(*(whole - _live(spells, name) for name in known))
    assert {at for begin, end in dark for at in range(begin + 1, end + 1)} == missed
    assert all(begin < end for begin, end in dark)
    assert all(before[1] < after[0] for before, after in pairwise(dark))


def test_where_no_venue_is_live_all_that_ever_were_are_concerned() -> None:
    observed = ObservedTime([("a", 0, 10), ("b", 20, 30)])

    assert observed.concerned(25, 27) == {"b"}
    assert observed.concerned(40, 50) == {"a", "b"}
