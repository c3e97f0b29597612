"""How alarms meet cascades."""

from hypothesis import given
from hypothesis import strategies as st

from liqtape.exam.alarmscores import MatchRule, Onset, episodes_of, score_alarms

_RULE = MatchRule()
_TIMES = st.lists(st.integers(0, 3_000_000), max_size=30).map(sorted)


def _apart(times: list[int]) -> list[Onset]:
    """Cascades of 20 s, at least 60 s from each other."""
    found: list[Onset] = []
    for at_ms in times:
        if not found or at_ms >= found[-1].end_ms + 60_000:
            found.append(Onset(at_ms, at_ms + 20_000))
    return found


def test_an_alarm_meets_from_two_minutes_before_the_begin_to_half_a_minute_after_the_end() -> None:
    met = [
        score_alarms([Onset(1_000_000, 1_060_000)], [at_ms], 1.0, _RULE).met
        for at_ms in (879_999, 880_000, 1_090_000, 1_090_001)
    ]

    assert met == [0, 1, 1, 0]


def test_one_episode_meets_one_onset_only() -> None:
    found = score_alarms([Onset(0, 10_000), Onset(70_000, 80_000)], [5_000, 30_000, 75_000], 1.0, _RULE)

    assert (found.met, found.false, found.leads_ms) == (1, 0, (-5_000, None))


def test_a_second_episode_in_a_cascade_is_false_and_said_to_be_repeated() -> None:
    found = score_alarms([Onset(0, 300_000)], [5_000, 200_000, 900_000], 2.0, _RULE)

    assert (found.met, found.false, found.repeated, found.false_a_day, found.precision) == (1, 2, 1, 1.0, 1 / 3)


@given(_TIMES, _TIMES)
def test_as_many_onsets_are_met_as_can_be(onsets_ms: list[int], alarms_ms: list[int]) -> None:
    onsets = _apart(onsets_ms)
    episodes = episodes_of(alarms_ms, _RULE.refractory_ms)

    found = score_alarms(onsets, alarms_ms, 1.0, _RULE)

    assert found.met == _most(onsets, episodes)
    assert found.met + found.false == len(episodes)


def _most(onsets: list[Onset], episodes: list[int]) -> int:
    """The largest matching, by augmenting paths."""
    owner: dict[int, int] = {}

    def place(onset: int, tried: set[int]) -> bool:
        one = onsets[onset]
        for number, at_ms in enumerate(episodes):
            if one.start_ms - _RULE.lead_max_ms <= at_ms <= one.end_ms + _RULE.late_max_ms and number not in tried:
                tried.add(number)
                if number not in owner or place(owner[number], tried):
                    owner[number] = onset
                    return True
        return False

    return sum(place(onset, set()) for onset in range(len(onsets)))
