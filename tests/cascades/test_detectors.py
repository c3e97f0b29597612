"""Each detector against one that is given all events anew after each of them and carries nothing along."""

from collections.abc import Callable, Sequence
from math import exp, log, sqrt

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.cascades.streams import BASE_MS, of, streams, usual_rate

from liqtape.cascades.changepointdetector import ChangePointDetector
from liqtape.cascades.choice import DETECTORS, CascadeSettings, detector_of
from liqtape.cascades.cusumdetector import CusumDetector
from liqtape.cascades.detector import Detector, Signal
from liqtape.cascades.hawkesdetector import UNFITTED_CHILDREN, HawkesDetector
from liqtape.cascades.hawkesprocess import DECAYS
from liqtape.cascades.helddetector import HeldDetector
from liqtape.cascades.returnperioddetector import ReturnPeriodDetector
from liqtape.cascades.runlengths import RunLengths
from liqtape.cascades.surprisedetector import SurpriseDetector
from liqtape.cascades.thresholddetector import ThresholdDetector
from liqtape.engine import VelocityEngine
from liqtape.engine.baseline.surprise import expected, surprise_fano
from liqtape.engine.levels.returnperiods import StreamKey
from liqtape.events import Liquidation

_KEY = StreamKey(None, "BTCUSDT")
_QUIET = CascadeSettings(
    surprise=1.5, cusum=5.0, hawkes=20.0, change_point=3.0, velocity_10s=0.5, acceleration=0.05, refit=False
)
"""Thresholds that the short streams of these tests reach."""

Score = Callable[[Sequence[Liquidation]], float | None]


def _signals(detector: Detector, events: Sequence[Liquidation]) -> list[Signal]:
    return [signal for event in events if (signal := detector.update(event)) is not None]


def _raised(score_of: Score, threshold: float, events: Sequence[Liquidation]) -> list[tuple[int, float]]:
    """Return when a detector with these scores is raised, and at which score: from each prefix of the events."""
    found: list[tuple[int, float]] = []
    due_ms = -1
    for i in range(1, len(events) + 1):
        score, at_ms = score_of(events[:i]), events[i - 1].event_ms
        if score is not None and score >= threshold:
            if at_ms >= due_ms:
                found.append((at_ms, score))
            due_ms = at_ms + 300_000
    return found


def _agree(detector: HeldDetector, score_of: Score, events: Sequence[Liquidation]) -> None:
    said = [(signal.at_ms, signal.score) for signal in _signals(detector, events)]
    wanted = _raised(score_of, detector.threshold, events)

    assert [at_ms for at_ms, _ in said] == [at_ms for at_ms, _ in wanted]
    assert [score for _, score in said] == pytest.approx([score for _, score in wanted], rel=1e-9)


def _times(events: Sequence[Liquidation]) -> list[int]:
    return [event.event_ms for event in events]


def _usual(events: Sequence[Liquidation]) -> float:
    return max(0.02, usual_rate(_times(events), events[0].event_ms, events[-1].event_ms))


@settings(max_examples=40, deadline=None)
@given(streams())
def test_threshold_is_velocity_or_acceleration_of_exact_windows(events: list[Liquidation]) -> None:
    def score(seen: Sequence[Liquidation]) -> float:
        now_ms = seen[-1].event_ms
        ages = [(now_ms - at_ms) / 1000 for at_ms in _times(seen)]
        velocity = sum(age < 10 for age in ages) / 10
        recent = [age for age in ages if age < 20]
        acceleration = 12 / 20**3 * sum(10 - age for age in recent) if len(recent) >= 10 else 0.0
        return max(velocity / 0.5, acceleration / 0.05)

    detector = detector_of("threshold", _KEY, _QUIET)
    assert isinstance(detector, ThresholdDetector)
    _agree(detector, score, events)


@settings(max_examples=40, deadline=None)
@given(streams())
def test_threshold_by_usd_is_usd_velocity(events: list[Liquidation]) -> None:
    def score(seen: Sequence[Liquidation]) -> float:
        inside = [event for event in seen if event.event_ms > seen[-1].event_ms - 10_000]
        return sum(event.notional_usd or 0.0 for event in inside) / 10 / 500.0

    _agree(ThresholdDetector(usd_velocity_10s=500.0), score, events)


@settings(max_examples=40, deadline=None)
@given(streams())
def test_surprise_is_that_of_the_count_in_60_seconds(events: list[Liquidation]) -> None:
    def score(seen: Sequence[Liquidation]) -> float:
        times, now_ms = _times(seen), seen[-1].event_ms
        first, end = -(-times[0] // 60_000), (now_ms - 300_000) // 60_000
        weight = total = squares = 0.0
        for number in range(first, end):
            share = 2 ** (-(end - 1 - number) / 360)
            count = sum(at_ms // 60_000 == number for at_ms in times)
            weight, total, squares = weight + share, total + share * count, squares + share * count * count
        usual = expected(60, weight, total, squares)
        return surprise_fano(sum(at_ms > now_ms - 60_000 for at_ms in times), usual.mean, usual.fano)

    detector = detector_of("surprise", _KEY, _QUIET)
    assert isinstance(detector, SurpriseDetector)
    _agree(detector, score, events)


def _weights(events: Sequence[Liquidation]) -> list[float]:
    """Return what events count by size: sqrt(USD) over the mean root of those five whole minutes ago."""
    found = []
    for i, event in enumerate(events):
        now_ms = event.event_ms
        until = (now_ms - 300_000) // 60_000  # minutes before it are over since 300 s
        sized = [one for one in events[:i] if one.notional_usd is not None and one.event_ms // 60_000 < until]
        if event.notional_usd is None:
            found.append(1.0)
            continue
        count, root = 30.0, 30 * sqrt(3_000)
        for one in sized:
            newest = sized[-1].event_ms // 60_000
            share = 2 ** -((newest - one.event_ms // 60_000) / 1_440)
            count, root = count + share, root + share * sqrt(one.notional_usd or 0.0)
        found.append(sqrt(event.notional_usd) * count / root)
    return found


@settings(max_examples=25, deadline=None)
@given(streams(), st.booleans())
def test_cusum_is_pages_sum(events: list[Liquidation], by_usd: bool) -> None:
    weights = _weights(events) if by_usd else [1.0] * len(events)
    total, at_ms, sums = 0.0, events[0].event_ms, []
    for i, event in enumerate(events, 1):
        usual = _usual(events[:i])
        drained = 9 * usual * (event.event_ms - at_ms) / 1000
        total, at_ms = max(0.0, total + weights[i - 1] * log(10) - drained), event.event_ms
        sums.append(total)

    _agree(CusumDetector(5.0, by="usd" if by_usd else "rate"), lambda seen: sums[len(seen) - 1], events)


@settings(max_examples=25, deadline=None)
@given(streams(), st.booleans())
def test_hawkes_is_the_sum_over_all_events(events: list[Liquidation], by_usd: bool) -> None:
    weights = _weights(events) if by_usd else [1.0] * len(events)

    def score(seen: Sequence[Liquidation]) -> float:
        now_ms, usual = seen[-1].event_ms, _usual(seen)
        total = usual * (1 - sum(UNFITTED_CHILDREN))
        for children, decay in zip(UNFITTED_CHILDREN, DECAYS, strict=True):
            ages = ((now_ms - at_ms) / 1000 for at_ms in _times(seen))
            total += children * decay * sum(w * exp(-decay * age) for w, age in zip(weights, ages, strict=False))
        return total / usual

    _agree(HawkesDetector(20.0, by="usd" if by_usd else "rate"), score, events)


@settings(max_examples=40, deadline=None)
@given(streams())
def test_change_point_is_the_posterior_of_clock_steps(events: list[Liquidation]) -> None:
    def score(seen: Sequence[Liquidation]) -> float | None:
        steps = [at_ms // 10_000 for at_ms in _times(seen)]
        lengths = RunLengths(1 / 360, 1.0, 1.0)
        known = steps[0]
        for step in sorted({step for step in steps if step < steps[-1]}):
            if step > known:
                lengths.step(0, step - known)
            lengths.step(steps.count(step))
            known = step + 1
        if steps[-1] > known:
            lengths.step(0, steps[-1] - known)
        wanted, count = 3.0 * _usual(seen) * 10, steps.count(steps[-1])
        if 1.0 + count >= wanted * 2.0:
            return lengths.chance_above(wanted, lengths.after(count))
        return lengths.chance_above(wanted) if count == 1 and len(seen) > 1 else None

    detector = detector_of("change_point", _KEY, _QUIET)
    assert isinstance(detector, ChangePointDetector)
    _agree(detector, score, events)


@settings(max_examples=40, deadline=None)
@given(streams())
@example([of(BASE_MS + 60_000 * i, 5e7) for i in range(4)])
def test_return_periods_are_the_raises_of_the_engine(events: list[Liquidation]) -> None:
    engine = VelocityEngine()
    for event in events:
        engine.add(event)
        engine.look([(event.venue, event.instrument)], event.event_ms)
    assert engine.levels is not None
    raises = [one for one in engine.levels.take_raises() if one.key == _KEY and one.above == 0]

    said = _signals(ReturnPeriodDetector(), events)

    assert [(signal.at_ms, signal.score) for signal in said] == [(one.at_ms, one.usd_60s) for one in raises]
    assert all(signal.score >= signal.threshold for signal in said)


@pytest.mark.parametrize("name", DETECTORS)
@settings(max_examples=12, deadline=None)
@given(events=streams(), moments=st.lists(st.integers(0, 5_000_000), max_size=20))
def test_asking_how_it_stands_changes_nothing(name: str, events: list[Liquidation], moments: list[int]) -> None:
    asked, unasked = detector_of(name, _KEY, _QUIET), detector_of(name, _KEY, _QUIET)
    due = sorted(BASE_MS + moment for moment in moments)
    said = []
    for event in events:
        while due and due[0] <= event.event_ms:
            asked.at(due.pop(0))
        signal = asked.update(event)
        asked.at(event.event_ms)
        if signal is not None:
            said.append(signal)

    assert said == _signals(unasked, events)


@pytest.mark.parametrize("name", DETECTORS)
@settings(max_examples=12, deadline=None)
@given(events=streams())
def test_of_one_side_is_as_if_there_were_no_other(name: str, events: list[Liquidation]) -> None:
    one_side = CascadeSettings(
        side="short", surprise=1.5, cusum=5.0, hawkes=20.0, change_point=3.0, velocity_10s=0.5, acceleration=0.05
    )

    said = _signals(detector_of(name, _KEY, one_side), events)

    assert said == _signals(detector_of(name, _KEY, _QUIET), [event for event in events if event.side == "short"])
    assert {signal.side for signal in said} <= {"short", None}


_CASCADE = [of(BASE_MS + 3_600_000 + 100 * i, 1e6, "long" if i % 5 == 4 else "short") for i in range(200)]


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("by", ["rate", "usd"])
def test_a_cascade_raises_every_detector_once_on_its_side(name: str, by: str) -> None:
    detector = detector_of(name, _KEY, CascadeSettings(by=by, refit=False))  # type: ignore[arg-type]
    detector.up(BASE_MS)
    last_ms = _CASCADE[-1].event_ms

    said = _signals(detector, _CASCADE)

    assert [(signal.detector, signal.side) for signal in said] == [(name, "short")]
    assert said[0].score >= said[0].threshold
    assert detector.at(last_ms).is_raised
    assert detector.at(last_ms + 299_000).is_raised
    assert not detector.at(last_ms + 300_000).is_raised
    assert _signals(detector, [of(at.event_ms + 5 * 86_400_000, 1e7) for at in _CASCADE])


@pytest.mark.parametrize("name", DETECTORS)
def test_a_gap_ends_what_was_raised(name: str) -> None:
    detector = detector_of(name, _KEY, CascadeSettings(refit=False))
    detector.up(BASE_MS)
    assert _signals(detector, _CASCADE)
    last_ms = _CASCADE[-1].event_ms

    detector.down(last_ms + 1_000)

    assert not detector.at(last_ms + 1_000).is_raised
    detector.up(last_ms + 2_000)
    assert not detector.at(last_ms + 2_000).is_raised
    assert _signals(detector, [of(last_ms + 2_000 + 50 * i, 1e7) for i in range(300)])


def test_silence_is_counted_only_while_somebody_watches() -> None:
    watched, unwatched = SurpriseDetector(), SurpriseDetector()
    end_ms, later_ms = BASE_MS + 36_000_000, BASE_MS + 180_000_000
    for detector in (watched, unwatched):
        detector.up(BASE_MS)
        for minute in range(600):
            detector.update(of(BASE_MS + 60_000 * minute))
    unwatched.down(end_ms)
    unwatched.up(later_ms)
    for detector in (watched, unwatched):
        for i in range(5):
            detector.update(of(later_ms + i))

    # Watched silence lowers the usual rate, so that the same burst stands out more.
    assert (watched.at(later_ms).score or 0.0) > 1.1 * (unwatched.at(later_ms).score or 0.0) > 0.0


def test_a_detector_says_nothing_of_what_nobody_watches() -> None:
    detector = CusumDetector()
    detector.update(of(BASE_MS))
    detector.down(BASE_MS + 1)

    assert detector.at(BASE_MS + 2).score is None


@pytest.mark.parametrize("name", DETECTORS)
def test_a_late_event_counts_now(name: str) -> None:
    detector = detector_of(name, _KEY, CascadeSettings(refit=False))
    detector.up(BASE_MS)
    late = [of(event.event_ms - (i % 3) * 2_000, event.notional_usd, event.side) for i, event in enumerate(_CASCADE)]

    said = _signals(detector, late)

    assert len(said) == 1
    assert said[0].at_ms == max(event.event_ms for event in late if event.event_ms <= said[0].at_ms)


def test_an_unknown_detector_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="unknown detector 'entropy'; there are return_periods, threshold, surprise"):
        detector_of("entropy", _KEY)
