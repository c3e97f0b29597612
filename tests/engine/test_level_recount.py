"""Levels by return period against a second form that carries nothing along, and on a real month.

The second form takes the definition by its words: at each look it goes through the whole past again, sums every window
anew, weighs each past episode by how long ago it ended, and finds a threshold by bisection of T(u) >= p.
"""

import csv
from collections.abc import Sequence
from itertools import pairwise
from math import exp2, floor, inf, isclose, log, log2
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from liqtape.engine import VelocityEngine
from liqtape.engine.levels.returnperiods import Raise, StreamKey
from liqtape.engine.levels.streamlevel import INSTRUMENT, LevelSteps, StreamLevel
from liqtape.eventfiles.coveragefile import load_coverage
from liqtape.eventfiles.readers import load
from liqtape.eventfiles.replay import steps

_DAY = 86_400_000
_PERIODS = (0.25, 1.0, 7.0, 30.0)
_FLOORS = (1e3, 1e4, 1e5, 1e6)
_COUNTS = (1, 3, 3, 3)


class _Act(NamedTuple):
    """Something that happened to a stream: `usd` of an event (micro-USD; None: unsized), or up, or down."""

    at_ms: int
    what: str = "event"
    micro: int | None = None


class _Looked(NamedTuple):
    step: int
    usd: float
    in_window: int
    thresholds: tuple[float, ...]
    days: float
    weights: dict[int, float]


class _Past(NamedTuple):
    """Ended episodes as (bin, decayed time at the end), and the decayed time now; in days."""

    episodes: Sequence[tuple[int, float]]
    now: float

    @property
    def days(self) -> float:
        return 14 / log(2) * (1 - exp2(-self.now / 14))

    def weights(self) -> dict[int, float]:
        found: dict[int, float] = {}
        for number, ended in self.episodes:
            found[number] = found.get(number, 0.0) + exp2(-(self.now - ended) / 14)
        return found

    def points(self) -> list[tuple[float, float]]:
        """(u, A) of the bins that are not empty, the seed episode among them."""
        weights = self.weights()
        seed = floor(4 * log2(3_000.0))
        weights[seed] = weights.get(seed, 0.0) + 1.0
        return [(2 ** ((j + 0.5) / 4), sum(w for k, w in weights.items() if k >= j)) for j in sorted(weights)]

    def thresholds(self) -> tuple[float, ...]:
        found, points = [], self.points()
        for k, (period, least) in enumerate(zip(_PERIODS, _FLOORS, strict=True)):
            usd = _smallest(points, self.days / period)
            if self.days < 7 and k < 3:
                usd = min(usd, 50e6)
            found.append(max(usd, least))
        return tuple(found)


def _count(points: Sequence[tuple[float, float]], usd: float) -> float:
    """C(u) by its words."""
    tail_usd, tail_count = points[-1]
    if tail_count < 1:
        (u0, c0), (u1, c1) = next((a, b) for a, b in pairwise(points) if b[1] < 1 <= a[1])
        tail_usd, tail_count = u0 * (u1 / u0) ** ((c0 - 1) / (c0 - c1)), 1.0
    tail = tail_count * (usd / tail_usd) ** -0.8 if usd > tail_usd else 0.0
    if usd <= points[0][0]:
        return max(points[0][1], tail)
    for (u0, c0), (u1, c1) in pairwise(points):
        if u0 < usd <= u1:
            return max(tail, c0 + (c1 - c0) * log(usd / u0) / log(u1 / u0))
    return tail


def _smallest(points: Sequence[tuple[float, float]], target: float) -> float:
    """The smallest u with C(u) <= wanted."""
    if target <= 0:
        return inf
    if _count(points, 1e-9) <= target:
        return 0.0
    low, high = -60.0, 400.0  # of log2 USD
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _count(points, exp2(middle)) > target else (low, middle)
    return exp2(high)


def _window(acts: Sequence[_Act]) -> tuple[float, int]:
    """USD and events of the 60 s that end with the last of these acts."""
    now_ms, micro, count = acts[-1].at_ms, 0, 0
    for act in reversed(acts):
        if act.what == "event":
            if act.at_ms <= now_ms - 60_000:
                break
            micro, count = micro + (act.micro or 0), count + 1
    return micro / 1e6, count


def _watched(acts: Sequence[_Act], at_ms: int) -> int:
    """Watched time up to `at_ms` as it was known after these acts."""
    total, since = 0, None
    for act in acts:
        if act.what == "up" and since is None:
            since = act.at_ms
        elif act.what == "down" and since is not None:
            total, since = total + max(0, act.at_ms - since), None
    return total if since is None else total + max(0, at_ms - since)


def _recount(acts: Sequence[_Act]) -> list[_Looked]:  # noqa: C901 - in one piece, by the words
    """What each look says, from all that happened before it."""
    ended: list[tuple[int, float]] = []
    now = 0.0  # watched days to which all was decayed
    thresholds: tuple[float, ...] = (inf,) * 4
    computed_ms, is_stale = 0, True
    peak, due_ms, top, is_up = 0.0, inf, 0, False
    looks: list[_Looked] = []

    def end(at_ms: float, known: Sequence[_Act]) -> None:
        nonlocal now, peak, due_ms, is_stale
        is_stale = is_stale or peak >= thresholds[0] / 2 or _Past(ended, now).days < 1
        now = max(now, _watched(known, int(at_ms)) / _DAY)
        ended.append((min(160, max(0, floor(4 * log2(peak)))), now))
        peak, due_ms = 0.0, inf

    for place, act in enumerate(acts):
        known = acts[:place]
        if act.what != "event":
            if act.what == "down" and is_up and peak:
                end(min(due_ms, act.at_ms), known)
            is_up = act.what == "up"
            continue
        usd, count = _window(acts[max(0, place - 500) : place + 1])
        if act.at_ms >= due_ms:
            end(due_ms, known)
        step = 0
        if usd > 0 and usd >= peak / 2:
            if not peak:
                watched_ms, days = _watched(known, act.at_ms), _Past(ended, now).days
                if is_stale or watched_ms - computed_ms > max(60_000, 0.01 * days * _DAY):
                    now = max(now, watched_ms / _DAY)
                    thresholds = _Past(ended, now).thresholds()
                    is_stale, computed_ms = False, watched_ms
                top = 0
            peak, due_ms = max(peak, usd), act.at_ms + 300_000
            reached = 0
            while reached < 4 and usd >= thresholds[reached] and count >= _COUNTS[reached]:
                reached += 1
            if reached > top:
                top = step = reached
        statistics = _Past(ended, now)
        looks.append(_Looked(step, usd, count, thresholds, statistics.days, statistics.weights()))
    return looks


def _streamed(acts: Sequence[_Act], rule: LevelSteps = INSTRUMENT) -> tuple[StreamLevel, list[_Looked]]:
    stream = StreamLevel(rule)
    looks: list[_Looked] = []
    for place, act in enumerate(acts):
        if act.what == "up":
            stream.up(act.at_ms)
        elif act.what == "down":
            stream.down(act.at_ms)
        else:
            usd, count = _window(acts[: place + 1])
            step = stream.look(act.at_ms, usd, count)
            statistics = stream.histogram
            looks.append(_Looked(step, usd, count, stream.thresholds, statistics.days, dict(statistics.weights)))
    return stream, looks


_GAPS = st.sampled_from([0, 0, 1, 999, 30_000, 59_999, 60_000, 150_000, 299_999, 300_000, 300_001]) | st.integers(
    0, 3 * _DAY
)
_AMOUNTS = st.none() | st.floats(-2, 9).map(lambda exponent: round(1e6 * 10**exponent))
_KINDS = st.sampled_from(["event"] * 8 + ["up", "down", "late down"])


@st.composite
def _pasts(draw: st.DrawFn, most: int = 30) -> list[_Act]:
    """A stream: bursts and days of silence, ties, unsized events, gaps that are told late."""
    now, acts = draw(st.integers(0, 10_000)), []
    if draw(st.booleans()):
        acts.append(_Act(now, "up"))
    for _ in range(draw(st.integers(1, most))):
        now += draw(_GAPS)
        kind = draw(_KINDS)
        if kind == "event":
            acts.append(_Act(now, "event", draw(_AMOUNTS)))
        else:
            late_ms = draw(st.integers(0, 400_000)) if kind == "late down" else 0
            acts.append(_Act(max(0, now - late_ms), kind.removeprefix("late ")))
    return acts


@settings(max_examples=150, deadline=None)
@given(_pasts())
@example([_Act(0, "up"), *(_Act(100 * i, micro=20_000_000_000_000) for i in range(5))])
@example(
    [
        _Act(0, "up"),
        *(_Act(400_000 * i, micro=5_000_000_000 + 10**9 * (i % 7)) for i in range(40)),
        _Act(17_000_000, micro=9 * 10**11),
    ]
)
def test_a_recount_of_the_whole_past_agrees_at_each_look(acts: list[_Act]) -> None:
    _, looks = _streamed(acts)
    places = [place for place, act in enumerate(acts) if act.what == "event"]

    for place, found in zip(places, looks, strict=True):
        expected = _recount(acts[: place + 1])[-1]
        assert found.thresholds == pytest.approx(expected.thresholds, rel=1e-9)
        if not any(isclose(found.usd, threshold, rel_tol=1e-9) for threshold in found.thresholds):
            assert found.step == expected.step
        assert found.days == pytest.approx(expected.days, rel=1e-9, abs=1e-15)
        assert found.weights == pytest.approx(expected.weights, rel=1e-9)


@settings(max_examples=100, deadline=None)
@given(_pasts(), st.integers(0, _DAY))
def test_what_is_kept_meanwhile_is_what_a_stop_would_keep(acts: list[_Act], after_ms: int) -> None:
    stream, _ = _streamed(acts)
    at_ms = max(act.at_ms for act in acts) + after_ms

    kept = stream.kept(at_ms)
    again = stream.kept(at_ms)
    stopped = stream.state(at_ms)

    assert kept == again
    assert kept.days == pytest.approx(stopped.days, rel=1e-12, abs=1e-15)
    assert {k: w for k, w in kept.bins.items() if w > 2e-6} == pytest.approx(
        {k: w for k, w in stopped.bins.items() if w > 2e-6}, rel=1e-12
    )
    assert kept.largest_usd == stopped.largest_usd


@settings(max_examples=100, deadline=None)
@given(_pasts(20), _pasts(20), st.integers(0, 5 * _DAY))
def test_a_restart_at_any_moment_costs_the_open_episode_and_nothing_else(
    before: list[_Act], later: list[_Act], away_ms: int
) -> None:
    """A stop and a start are as a gap of the feed, after which thresholds are worked out anew."""
    stream, _ = _streamed(before)
    stop_ms = max(act.at_ms for act in before)
    kept = stream.kept(stop_ms)
    stream.state(stop_ms)
    # A feed that is told to have been down before what was decayed already takes watched time back; a restart would
    # forget that it owes it.
    assume(stream.histogram._decayed_to_ms <= stream.watched_ms(stop_ms))
    stream._is_stale = True
    new = StreamLevel(INSTRUMENT)
    new.restore(kept)
    begin_ms = stop_ms + 60_000 + away_ms  # so that no window reaches back

    raises: list[list[int]] = []
    for one in (stream, new):
        one.up(begin_ms)
        found = []
        for place, act in enumerate(later):
            at_ms = begin_ms + act.at_ms
            if act.what != "event":
                (one.up if act.what == "up" else one.down)(at_ms)
                continue
            found.append(one.look(at_ms, *_window(later[: place + 1])))
        raises.append(found)

    assert raises[0] == raises[1]
    if new.thresholds[0] < inf:  # an episode began
        assert new.thresholds == pytest.approx(stream.thresholds, rel=1e-9)
    assert new.histogram.days == pytest.approx(stream.histogram.days, rel=1e-9, abs=1e-15)


# A real month

_HISTORY = Path(__file__).resolve().parents[3] / "shared" / "data" / "history"
_MONTH = "bitmex_xbtusd_20200416_20200508"


@pytest.fixture(name="month")
def _month() -> Path:
    pytest.importorskip("pyarrow", reason="the base install reads no Parquet")
    if not (_HISTORY / f"{_MONTH}.parquet").exists():
        pytest.skip(f"not beside the checkout: shared/data/history/{_MONTH}.parquet")
    return _HISTORY


class _Scored(NamedTuple):
    raises: int
    onsets: int
    severe: int
    false: int


def _scored(raises: Sequence[tuple[int, int, int]], step: int, labels: Sequence[tuple[int, int, int]]) -> _Scored:
    """Raises of a step against cascades: from 120 s before an onset to 30 s after its end."""
    at_ms = [at for at, above, reached in raises if above < step <= reached]
    met = [label for label in labels if any(label[0] - 120_000 <= at <= label[1] + 30_000 for at in at_ms)]
    false = [at for at in at_ms if not any(begin - 120_000 <= at <= end + 30_000 for begin, end, _ in labels)]
    return _Scored(len(at_ms), len(met), sum(severity >= 3 for *_, severity in met), len(false))


def test_levels_of_a_month_of_bitmex_find_its_cascades(month: Path) -> None:
    """The replay of a file with its coverage, fresh, against the recount: same raises, same cascades.

    The labels take the recorder's cascades of severity 2 and more that two rules agree on; 14.23 days were watched.
    """
    tape, spans = load(month / f"{_MONTH}.parquet"), load_coverage(month / f"coverage_{_MONTH}.csv")
    with (month / f"{_MONTH}.labels.csv").open() as text:
        labels = [
            (int(row["start_ms"]), int(row["end_ms"]), int(row["severity"]))
            for row in csv.DictReader(text)
            if (row["scope"], row["rule"], row["agree"]) == ("ALL", "rate", "1") and int(row["severity"]) >= 2
        ]
    first = tape.event(0)
    engine = VelocityEngine()
    engine.lists_instrument(first.venue, first.instrument)  # known to be listed, so watched since the recorder began
    assert engine.levels is not None
    for _ in steps(tape, 60, spans, engine):
        pass
    rarity: list[Raise] = engine.levels.take_raises()
    raises = [(one.at_ms, one.above, one.step) for one in rarity if one.key == StreamKey(None, first.instrument)]

    acts = [_Act(at_ms, what) for span in spans for at_ms, what in zip(span, ("up", "down"), strict=True)]
    acts += [
        _Act(tape.event(i).event_ms, micro=round(1e6 * (tape.event(i).notional_usd or 0))) for i in tape.in_order()
    ]
    acts.sort(key=lambda act: (act.at_ms, {"up": 0, "event": 1, "down": 2}[act.what]))
    recounted: list[tuple[int, int, int]] = []
    for act, look in zip((act for act in acts if act.what == "event"), _recount(acts), strict=True):
        if look.step:
            recounted.append((act.at_ms, 0, look.step))

    assert [(at_ms, step) for at_ms, _, step in raises] == [(at_ms, step) for at_ms, _, step in recounted]
    assert (len(labels), sum(severity >= 3 for *_, severity in labels)) == (76, 24)
    assert _scored(raises, 1, labels) == (60, 50, 17, 11)
    assert _scored(raises, 2, labels) == (14, 15, 11, 0)
    assert _scored(raises, 3, labels) == (1, 1, 1, 0)
