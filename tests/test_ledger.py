"""The ledger: balanced when each frame and event is in one place, and its sums."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape.ledger import Ledger

_FRAMES = ["frames_liquidation", "frames_other_topic", "frames_control", "frames_undecodable"]
_EVENTS = [
    "events_accepted",
    "events_duplicate",
    "events_rejected_filtered",
    "events_rejected_invalid",
    "events_rejected_future",
    "events_pending",
]
_UNSIZED = ["events_unsized", "events_unsized_quote"]
_COUNTED = st.lists(st.sampled_from([*_FRAMES, *_EVENTS, *_UNSIZED]), max_size=30)


def _count(fields: list[str]) -> Ledger:
    ledger = Ledger()
    for field in fields:
        setattr(ledger, field, getattr(ledger, field) + 1)
        ledger.frames_received += field in _FRAMES
        ledger.events_decoded += field in _EVENTS
    return ledger


def test_shows_the_counts_that_are_not_0() -> None:
    ledger = Ledger()
    ledger.frames_received = ledger.frames_control = 3
    assert repr(ledger) == "Ledger(frames_received=3, frames_control=3)"


def test_a_new_ledger_is_empty_and_balanced() -> None:
    ledger = Ledger()

    assert set(ledger.as_dict()) == {"frames_received", *_FRAMES, "events_decoded", *_EVENTS, *_UNSIZED}
    assert set(ledger.as_dict().values()) == {0}
    assert ledger.balanced()


@given(_COUNTED)
def test_balanced_when_everything_is_in_one_place(fields: list[str]) -> None:
    assert _count(fields).balanced()


@pytest.mark.parametrize("field", ["frames_received", *_FRAMES, "events_decoded", *_EVENTS])
@pytest.mark.parametrize("by", [1, -1])
def test_one_more_or_less_anywhere_is_seen(field: str, by: int) -> None:
    ledger = _count([*_FRAMES, *_EVENTS])

    setattr(ledger, field, getattr(ledger, field) + by)

    assert not ledger.balanced()


def test_unsized_events_are_accepted_ones_and_need_no_place_of_their_own() -> None:
    assert _count(["events_unsized"]).balanced()


@given(_COUNTED, _COUNTED)
def test_the_sum_of_two_counts_both_and_changes_neither(one: list[str], other: list[str]) -> None:
    a, b = _count(one), _count(other)

    assert (a + b).as_dict() == _count(one + other).as_dict()
    assert a.as_dict() == _count(one).as_dict()
    assert b.as_dict() == _count(other).as_dict()


def test_no_other_count_can_be_kept() -> None:
    with pytest.raises(AttributeError):
        Ledger().frames_lost = 1  # type: ignore[attr-defined]
