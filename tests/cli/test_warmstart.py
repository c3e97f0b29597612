"""Levels of the simulated market, taught by its bundled days: they find a cascade and leave a calm market alone."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
from benchmarks import freshstart

from liqtape.cli import warmstart
from liqtape.cli.warmstart import DAYS, learned, probe, simulated_days, warm_start, write_warm_start
from liqtape.engine import VelocityEngine
from liqtape.engine.levels.episodes import HALF_LIFE_DAYS, EpisodeHistogram
from liqtape.engine.levels.returnperiods import BREADTH_KEY, MARKET_KEY, ReturnPeriods, StreamKey
from liqtape.engine.velocity import MARKET
from liqtape.errors import ConfigurationError
from liqtape.events import Level, Liquidation
from liqtape.settings import HistorySettings, RedisSettings, Settings
from liqtape.simulator import instrument_of, micro_usd_of
from liqtape.simulator.days import printed
from liqtape.simulator.dialects import DIALECTS
from liqtape.simulator.listings import LISTINGS
from liqtape.simulator.scenario import scenario
from liqtape.simulator.wire import SentRow
from liqtape.tracker import Tracker
from liqtape.venues import hyperliquid

ORDER: tuple[Level, ...] = ("NONE", "WATCH", "ALERT", "CRITICAL", "EXTREME")
CALM_SEEDS = range(1, 21)


def rows_of(name: str, seed: int, seconds: int) -> Iterator[SentRow]:
    return printed(scenario(name), seed, 1_000 * seconds, {hyperliquid.name: hyperliquid.watch_list})


def levels_seen(name: str, seed: int, seconds: int) -> tuple[set[Level], set[Level]]:
    """Levels that the market, and that any instrument had in a scenario's first seconds, looked at after each event."""
    levels = ReturnPeriods()
    levels.restore(warm_start().states)
    engine = VelocityEngine(rule=levels)
    for item in LISTINGS:
        engine.lists_instrument(item.venue, instrument_of(item.venue, item.symbol))
    for venue in DIALECTS:
        engine.feed_up(venue, 0)
    market: set[Level] = set()
    instruments: set[Level] = set()
    for row in rows_of(name, seed, seconds):
        instrument = instrument_of(row.venue, row.symbol)
        usd = micro_usd_of(row.venue, row.symbol, row.price, row.size) / 1e6
        engine.add(Liquidation(row.venue, instrument, row.symbol, row.side, 1.0, "bankruptcy", None, usd, row.event_ms))
        engine.look([(row.venue, instrument)], row.event_ms)
        market.add(levels.market_level())
        instruments.update(map(levels.level, levels.raised()))
    return market - {"NONE"}, instruments


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_cascade_goes_through_all_levels_within_its_seconds(seed: int) -> None:
    market, instruments = levels_seen("cascade", seed, 60)

    assert "EXTREME" in market
    assert "EXTREME" in instruments
    assert market | instruments == {"WATCH", "ALERT", "CRITICAL", "EXTREME"}


def test_the_usual_demo_is_extreme_within_twenty_seconds() -> None:
    market, instruments = levels_seen("cascade", 1, 20)

    assert market == {
        "WATCH",
        "ALERT",
        "EXTREME",
    }  # so many instruments at once are EXTREME before its USD are CRITICAL
    assert instruments == {"WATCH", "ALERT", "CRITICAL", "EXTREME"}


def test_a_calm_market_says_nothing_above_watch() -> None:
    seen = {seed: set[Level]().union(*levels_seen("calm", seed, 60)) for seed in CALM_SEEDS}

    assert {seed: found for seed, found in seen.items() if not found <= {"WATCH"}} == {}


def test_what_is_bundled_is_what_the_simulator_teaches() -> None:
    assert probe() == warm_start().probe, "the simulator or the rule has changed: run `python -m liqtape.cli.warmstart`"


def test_every_stream_of_the_simulated_venues_has_learned() -> None:
    states = warm_start().states
    at_venues = {StreamKey(item.venue, instrument_of(item.venue, item.symbol)) for item in LISTINGS}
    instruments = {StreamKey(None, key.instrument) for key in at_venues}
    days = EpisodeHistogram(1.0, 1.0)
    days.decay_to(DAYS * 86_400_000)

    assert states.keys() == at_venues | instruments | {StreamKey(venue, None) for venue in DIALECTS} | {
        MARKET_KEY,
        BREADTH_KEY,
    }
    levels = ReturnPeriods()
    levels.restore(states)
    assert not any(stream.is_learning for stream in levels.streams.values())
    for key, state in states.items():
        assert state.days == pytest.approx(days.days, rel=1e-6), key
        assert sum(state.bins.values()) > 1.0, key
        assert (state.usd > 0) == (key.venue is not None), key
    # Decayed by at most 2^(-10/14), as many episodes as the first hours have them.
    early, _ = learned(simulated_days(2), 2 * 3_600_000)
    for key in (StreamKey("bybit", "BTCUSDT"), StreamKey("okx", None), MARKET_KEY):
        episodes, kept = sum(early[key].bins.values()), sum(states[key].bins.values())
        assert 0.5 * 2 ** (-DAYS / HALF_LIFE_DAYS) < kept / (12 * DAYS * episodes) < 2.0, key


def test_the_budget_of_messages_has_learned_as_many_days() -> None:
    warm = warm_start()

    assert warm.messages.days == pytest.approx(warm.states[MARKET_KEY].days, rel=1e-3)
    assert sum(warm.messages.bins.values()) > 1.0


@pytest.mark.parametrize("name", ["calm", "cascade"])
def test_days_print_what_the_running_market_prints(name: str) -> None:
    """Of Hyperliquid only those who watch are told, and nobody does in the other form."""
    running = freshstart._printed(name, 3, 30)
    ours = [row for row in printed(scenario(name), 3, 30_000, {}) if row.venue != "hyperliquid"]

    def essence(rows: list[SentRow]) -> list[tuple[int, str, int, str, str]]:
        return sorted((row.event_ms, row.venue, row.serial, row.symbol, row.side) for row in rows)

    assert essence(ours) == essence(running)
    assert len(ours) > 10


def test_rows_come_in_order_and_each_once() -> None:
    rows = list(rows_of("cascade", 5, 30))

    assert [row.event_ms for row in rows] == sorted(row.event_ms for row in rows)
    assert 0 <= rows[0].event_ms <= rows[-1].event_ms <= 30_000
    assert len({(row.venue, row.serial) for row in rows}) == len(rows)
    assert {row.venue for row in rows} == set(DIALECTS)
    assert not any(row.venue == "hyperliquid" for row in printed(scenario("cascade"), 5, 30_000, {}))


def test_what_a_start_costs_is_bounded() -> None:
    """Calls into Python: a time would hang on the machine, and days that are simulated again would be millions."""
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:  # noqa: ARG001
        nonlocal calls
        calls += event == "call"

    levels = ReturnPeriods()
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        levels.restore(warm_start().states)
    finally:
        sys.setprofile(before)

    assert 0 < calls < 20 * len(levels.streams)
    assert warmstart._FILE.stat().st_size < 100_000


async def test_a_tracker_begins_with_what_it_does_not_know_better() -> None:
    settings = Settings(venues={}, redis=RedisSettings("off"), history=HistorySettings("off"))
    tracker = Tracker(settings)
    levels = tracker.engine.levels
    assert levels is not None
    known = StreamKey("bybit", "BTCUSDT")
    levels.restore({known: warm_start().states[MARKET_KEY]})

    tracker.begin_with(warm_start().states, str(warm_start()))

    assert tracker.learned == f"levels learned from {DAYS} simulated days"
    assert levels.streams[known].histogram.weights == warm_start().states[MARKET_KEY].bins
    tracker._history.learned = "levels learned from elsewhere"
    tracker.begin_with(warm_start().states, str(warm_start()))
    assert tracker.learned == "levels learned from elsewhere"
    other = StreamKey("bybit", "ETHUSDT")
    assert levels.streams[other].histogram.weights == warm_start().states[other].bins
    assert MARKET not in levels.raised()


def test_a_copy_is_read_and_what_is_none_is_refused(tmp_path: Path) -> None:
    write_warm_start(tmp_path / "levels.json")
    (tmp_path / "other.json").write_text('{"streams": 1}', "utf-8")

    assert warm_start(tmp_path / "levels.json") == warm_start()
    with pytest.raises(ConfigurationError, match=r"other\.json: not a file of `liqtape simulate --levels`"):
        warm_start(tmp_path / "other.json")
    with pytest.raises(FileNotFoundError):
        warm_start(tmp_path / "none.json")
