from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from liqtape.feeds.liveness import Liveness
from liqtape.venues.base import Endpoint

A, B = (Endpoint(f"wss://toy/{name}", (name,), 10.0) for name in "ab")


class Told:
    """What was told, and the live time it amounts to."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []
        self.whole: list[int] = []
        self.presence = Liveness(
            lambda at: self.lines.append(("up", at)),
            lambda at, _: self.lines.append(("down", at)),
            lambda since, until, _: self.lines.append(("missed", since, until)),
            self.whole.append,
        )

    def live(self, end: int) -> set[int]:
        live: set[int] = set()
        since: int | None = None
        last = 0
        for line in self.lines:
            if line[0] == "up":
                since = max(line[1], last)
            elif line[0] == "down" and since is not None:
                live |= set(range(since, line[1]))
                last = max(line[1], since)
                since = None
        if since is not None:
            live |= set(range(since, end))
        for line in self.lines:
            if line[0] == "missed":
                live -= set(range(line[1], line[2]))
        return live


def test_up_when_the_last_seat_is_and_down_with_the_first() -> None:
    told = Told()
    told.presence.require([A, B], 0)
    told.presence.up("a", A, 5)
    told.presence.up("b", B, 20)
    told.presence.down("a", A, 60, "lost")
    told.presence.down("b", B, 80, "lost")
    assert told.lines == [("up", 20), ("down", 60)]


def test_a_life_whose_clock_was_set_back_ends_where_the_new_one_says() -> None:
    told = Told()
    told.presence.require([A], 0)
    told.presence.up("a", A, 4_000)
    told.presence.up("b", A, 4_500)
    told.presence.down("a", A, 5_000, "another one took over")
    told.presence.down("b", A, 1_200, "lost")
    told.presence.up("c", A, 1_300)
    told.presence.down("c", A, 1_900, "lost")
    assert told.lines == [("up", 4_000), ("down", 1_200), ("up", 1_300), ("down", 1_900)]


def test_an_outage_that_began_before_the_one_found_first() -> None:
    told = Told()
    told.presence.require([A, B], 0)
    told.presence.up("a", A, 0)
    told.presence.up("b", B, 0)
    told.presence.down("a", A, 60, "lost")
    told.presence.down("b", B, 40, "silent since")
    assert told.lines == [("up", 0), ("down", 60), ("missed", 40, 60)]


def test_what_is_not_required_any_more_does_not_count() -> None:
    told = Told()
    told.presence.require([A], 0)
    told.presence.up("a", A, 0)
    told.presence.up("b", B, 10)
    told.presence.require([B], 20)
    told.presence.down("a", A, 15, "stopped")
    assert told.lines == [("up", 0)]


def test_a_seat_required_before_it_lives_is_an_outage() -> None:
    told = Told()
    told.presence.require([A], 0)
    told.presence.up("a", A, 0)
    told.presence.require([A, B], 30)
    told.presence.up("b", B, 50)
    assert told.lines == [("up", 0), ("down", 30), ("up", 50)]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),  # which of three copies
            st.integers(1, 20),  # how long it was away before
            st.integers(1, 60),  # how long it lived
            st.integers(0, 30),  # after how long its end was noticed
        ),
        max_size=12,
    )
)
def test_live_is_what_any_copy_covered_whatever_is_noticed_when(lives: list[tuple[int, int, int, int]]) -> None:
    told = Told()
    told.presence.require([A], 0)
    clock = [0, 0, 0]
    noticed: list[tuple[int, int, str, int]] = []  # when, order, what, copy with its stamp
    covered: set[int] = set()
    for copy, away, lived, late in lives:
        up = clock[copy] + away
        down = up + lived
        clock[copy] = down + late
        noticed += [(up, 1, f"up {copy}", up), (down + late, 0, f"down {copy}", down)]
        covered |= set(range(up, down))
    for _, _, what, at in sorted(noticed):
        kind, copy_name = what.split()
        if kind == "up":
            told.presence.up(copy_name, A, at)
        else:
            told.presence.down(copy_name, A, at, "lost")

    assert told.live(10_000) == covered
