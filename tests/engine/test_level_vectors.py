"""The published vectors of metrics 5b: levels by return periods, worked out independently of this code."""

import json
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from liqtape.engine.levels.episodes import StreamState, combined, continued
from liqtape.engine.levels.streamlevel import (
    BREADTH,
    INSTRUMENT,
    MARKET_STEPS,
    VENUE,
    LevelSteps,
    StreamLevel,
    message_steps,
)

_VECTORS = json.loads((Path(__file__).parents[1] / "fixtures" / "level_vectors.json").read_text())["vectors"]
_STEPS = {"instrument": INSTRUMENT, "venue": VENUE, "market": MARKET_STEPS}


def _of(metric: str) -> list[Any]:
    found = [pytest.param(vector, id=vector["id"]) for vector in _VECTORS if vector["metric"] == metric]
    assert found
    return found


def _close(value: object) -> object:
    return pytest.approx(value, rel=1e-9)


def _state(kept: dict[str, Any]) -> StreamState:
    return StreamState(kept["days"], {int(number): weight for number, weight in kept["bins"].items()})


def _bins(state: StreamState) -> dict[str, float]:
    return {str(number): weight for number, weight in state.bins.items()}


def _minutes(events: Sequence[tuple[int, float | None]]) -> Iterator[tuple[int, float, int]]:
    """(time, USD, events) of the 60 s that end with each event, by exact sums of micro-USD."""
    window: deque[tuple[int, int]] = deque()
    for at_ms, usd in events:
        window.append((at_ms, round((usd or 0.0) * 1_000_000)))
        while window[0][0] <= at_ms - 60_000:
            window.popleft()
        yield at_ms, sum(micro for _, micro in window) / 1_000_000, len(window)


def _play(stream: StreamLevel, given: dict[str, Any]) -> list[list[float]]:
    """Feed marks and looks in order of time, marks first; returns the raises."""
    marks = deque(given["feed"])
    raises = []
    for at_ms, usd, count in _minutes(given["events"]):
        while marks and marks[0][0] <= at_ms:
            _mark(stream, *marks.popleft())
        if step := stream.look(at_ms, usd, count):
            raises.append([at_ms, step, usd, count])
    for mark in marks:
        _mark(stream, *mark)
    return raises


def _mark(stream: StreamLevel, at_ms: int, kind: str) -> None:
    (stream.up if kind == "up" else stream.down)(at_ms)


def _end(given: dict[str, Any]) -> int:
    return int(max(at_ms for at_ms, *_ in [*given["events"], *given["feed"]]))


@pytest.mark.parametrize("vector", _of("levels"))
def test_looks_raise_the_steps_of_the_vector_and_learn_its_histogram(vector: dict[str, Any]) -> None:
    given, expected = vector["input"], vector["expected"]
    stream = StreamLevel(_STEPS[vector["params"]["scope"]])
    assert expected["raises"] == [_close(each) for each in _play(stream, given)]
    state = stream.state(_end(given))
    assert expected["days"] == _close(state.days)
    assert expected["bins"] == _close(_bins(state))
    assert expected["thresholds_usd"] == _close(list(stream._worked_out()))
    rarity = [stream.histogram.return_days(usd) or 0.0 for usd in given["ask_usd"]]
    assert expected["return_days"] == _close(rarity)


@pytest.mark.parametrize("vector", _of("levels_down"))
def test_levels_come_down_second_by_second(vector: dict[str, Any]) -> None:
    given, expected = vector["input"], vector["expected"]
    stream = StreamLevel(INSTRUMENT)
    _play(stream, given)
    assert expected["steps_usd"] == _close(list(stream.thresholds))
    events = [(at_ms, usd) for at_ms, usd in given["events"]]
    ticks = given["ticks"]
    last_ms = events[-1][0]
    path = [[ticks["first_ms"] - ticks["every_ms"], stream.level]]
    for number in range(ticks["n"]):
        at_ms = ticks["first_ms"] + number * ticks["every_ms"]
        usd = sum(usd for event_ms, usd in events if at_ms - 60_000 < event_ms <= at_ms)
        level = stream.tick(at_ms, usd)
        if level != path[-1][1]:
            path.append([at_ms, level])
    assert last_ms <= ticks["first_ms"]
    assert expected["path"] == path


@pytest.mark.parametrize("vector", _of("levels_join"))
def test_states_join(vector: dict[str, Any]) -> None:
    given, expected = vector["input"], vector["expected"]
    if vector["params"]["how"] == "after":
        joined = continued(_state(given["earlier"]), _state(given["later"]), given["watched_days_of_later"])
    else:
        joined = combined([_state(part) for part in given["parts"]])
    assert expected["days"] == _close(joined.days)
    assert expected["bins"] == _close(_bins(joined))


@pytest.mark.parametrize("vector", _of("levels_restart"))
def test_a_kept_state_goes_on(vector: dict[str, Any]) -> None:
    given, expected = vector["input"], vector["expected"]
    stream = StreamLevel(INSTRUMENT)
    stream.restore(_state(given["kept"]))
    assert expected["raises"] == [_close(each) for each in _play(stream, given)]
    three_days_ms = given["feed"][0][0] + 3 * 86_400_000
    state = stream.state(three_days_ms)
    assert expected["days"] == _close(state.days)
    assert expected["bins"] == _close(_bins(state))


@pytest.mark.parametrize("vector", _of("levels_notifier"))
def test_threads_of_messages(vector: dict[str, Any]) -> None:
    params = vector["params"]
    stream = StreamLevel(message_steps(params["budget_per_week"], params["groups"]))
    _assert_looks(stream, vector, [*vector["input"]["z"]], "threads_ms")
    assert vector["expected"]["threshold"] == _close(stream.thresholds[0])


@pytest.mark.parametrize("vector", _of("levels_breadth"))
def test_breadth(vector: dict[str, Any]) -> None:
    stream = StreamLevel(BREADTH)
    _assert_looks(stream, vector, vector["input"]["breadth"], "raises")
    assert vector["expected"]["steps"] == _close(list(stream.thresholds))


def _assert_looks(stream: StreamLevel, vector: dict[str, Any], looks: list[list[float]], name: str) -> None:
    stream.up(1_790_000_000_000)
    rarity = [[at_ms, step] for at_ms, value in looks if (step := stream.look(int(at_ms), value, 1))]
    expected = vector["expected"][name]
    assert expected == (rarity if isinstance(expected[0], list) else [at_ms for at_ms, _ in rarity])


def test_before_anything_was_watched_only_the_cap_of_learning_gives_a_level() -> None:
    stream = StreamLevel(LevelSteps(3_000.0, 50e6))
    assert stream.look(1, 49e6, 5) == 0
    assert stream.look(2, 60e6, 6) == 3
