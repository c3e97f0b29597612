"""What levels learned, over restarts and kills, for runs that watch less, and from histories that kept nothing."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape.engine import VelocityEngine
from liqtape.engine.levels.episodes import DAY_MS, StreamState, combined, decayed
from liqtape.engine.levels.returnperiods import BREADTH_KEY, MARKET_KEY, ReturnPeriods, StreamKey
from liqtape.engine.levels.streamlevel import INSTRUMENT, StreamLevel
from liqtape.errors import ConfigurationError
from liqtape.events import Liquidation
from liqtape.history.archive.archiver import CLOSED_AFTER_MS, Archiver
from liqtape.history.archive.retention import retain
from liqtape.history.log.database import open_for_reading, open_for_writing
from liqtape.history.log.journal import AliveEntry, FeedDownEntry, FeedUpEntry, KnownUntilEntry
from liqtape.history.log.layout import DATABASE, VERSION, schema_sql
from liqtape.history.log.levelseed import learn_levels
from liqtape.history.log.levelstates import KeptLevel, LevelStateWriter, choose, read_level_states
from liqtape.history.log.store import Store

_HOUR_MS = 3_600_000
_BEGIN_MS = 1_790_000_000_000 // _HOUR_MS * _HOUR_MS
BTC, BYBIT, BYBIT_BTC = StreamKey(None, "BTCUSDT"), StreamKey("bybit", None), StreamKey("bybit", "BTCUSDT")


def _liquidation(at_ms: int, usd: float | None, venue: str = "bybit", instrument: str = "BTCUSDT") -> Liquidation:
    return Liquidation(venue, instrument, instrument, "long", 1.0, "fill", 1.0, usd, at_ms, at_ms, f"{at_ms}{usd}")


def _looked(events: Sequence[Liquidation], spells: Sequence[tuple[str, int, int]]) -> VelocityEngine:
    """An engine as a run leaves it."""
    engine = VelocityEngine()
    acts: list[tuple[int, int, str, Liquidation | None]] = [(e.event_ms, 1, "", e) for e in events]
    for venue, up_ms, down_ms in spells:
        acts += [(up_ms, 0, venue, None), (down_ms, 2, venue, None)]
    for at_ms, order, venue, event in sorted(acts, key=lambda act: act[:2]):
        if event is not None:
            engine.add(event)
            engine.look([(event.venue, event.instrument)], at_ms)
        elif order == 0:
            engine.feed_up(venue, at_ms)
        else:
            engine.feed_down(venue, at_ms)
    return engine


def _days(hours: float) -> StreamState:
    return decayed(StreamState(0.0, {}), hours / 24)


def _write(directory: Path, states: dict[StreamKey, StreamState], at_ms: int, wanted: dict[str, list[str]]) -> None:
    record = LevelStateWriter(ReturnPeriods(), wanted).record(states, at_ms)
    assert record is not None
    store = Store(directory)
    store.write([], [record])
    store.close()


_FINITE = st.floats(0, 1e300, allow_subnormal=True)
_STATES = st.builds(StreamState, _FINITE, st.dictionaries(st.integers(0, 160), _FINITE), _FINITE, _FINITE)


@given(_STATES, st.text(min_size=1) | st.just("1000'PEPE\"USDT"))
def test_a_state_comes_back_to_the_last_digit(
    tmp_path_factory: pytest.TempPathFactory, state: StreamState, instrument: str
) -> None:
    directory = tmp_path_factory.mktemp("states")
    key = StreamKey("bybit", instrument)
    record = LevelStateWriter(None, {"bybit": []}).record({key: state}, 5)
    store = Store(directory)
    assert record is not None
    store.write([], [record, record])
    store.close()

    (found,) = read_level_states(directory).items()
    if "\0" not in instrument:  # SQLite ends a text of JSON there; no venue has such a name
        assert found == (key, KeptLevel(state, {"bybit": []}))


def test_a_name_that_is_no_text_costs_nothing_but_itself() -> None:
    writer = LevelStateWriter(None, {})
    state = StreamState(1.0, {3: 1.0})

    record = writer.record({StreamKey("x", "\ud800"): state, StreamKey("x", "A"): state}, 5)

    assert record is not None
    assert '"A"' in record.rows
    assert writer.record({StreamKey("x", "\ud800"): state}, 5) is None
    assert writer.record({}, 5) is None


def test_a_log_of_version_1_is_migrated_and_read_meanwhile(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / DATABASE)
    connection.executescript(f"{schema_sql(1)} PRAGMA user_version = 1;")
    connection.execute("INSERT INTO coverage VALUES ('bybit', 1, 2)")
    connection.commit()
    connection.close()
    assert read_level_states(tmp_path) == {}
    assert learn_levels(tmp_path, 10_000, VelocityEngine()).events == 0

    open_for_writing(tmp_path, "NORMAL").close()

    connection = open_for_reading(tmp_path)
    assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
    assert connection.execute("SELECT * FROM coverage").fetchall() == [("bybit", 1, 2)]
    connection.execute("SELECT venue, instrument, at_ms, parts, state FROM level_states")
    connection.close()


def test_a_newer_log_gives_no_states_but_an_error(tmp_path: Path) -> None:
    connection = open_for_writing(tmp_path, "NORMAL")
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()

    with pytest.raises(ConfigurationError, match="newer"):
        read_level_states(tmp_path)


def test_a_kill_loses_no_watched_time(tmp_path: Path) -> None:
    """The row is of an hour before, the coverage says the rest: a gap in it, and an end as far as is known."""
    wanted: dict[str, list[str]] = {"bybit": [], "okx": []}
    stream = StreamLevel(INSTRUMENT)
    stream.up(_BEGIN_MS)
    for hour in range(5):
        stream.look(_BEGIN_MS + hour * _HOUR_MS, 10_000.0 * 3**hour, 3)
    row_ms = _BEGIN_MS + 5 * _HOUR_MS
    kept = stream.kept(row_ms)
    _write(tmp_path, dict.fromkeys([BTC, BYBIT_BTC, BYBIT, MARKET_KEY], kept), row_ms, wanted)
    away_ms, back_ms, killed_ms = row_ms + 600_000, row_ms + 900_000, row_ms + 2_000_000
    store = Store(tmp_path)
    store.write([], [FeedUpEntry("bybit", _BEGIN_MS), FeedDownEntry("bybit", away_ms), FeedUpEntry("bybit", back_ms)])
    store.write(
        [],
        [FeedUpEntry("okx", row_ms + 700_000), KnownUntilEntry("bybit", killed_ms), KnownUntilEntry("okx", killed_ms)],
    )
    store.write([], [AliveEntry(killed_ms)])
    store.close()
    store = Store(tmp_path)
    store.begin_run(killed_ms + DAY_MS)
    store.close()

    found = read_level_states(tmp_path)

    stream.down(away_ms)
    stream.up(back_ms)
    expected = stream.state(killed_ms)
    for key in (BYBIT_BTC, BYBIT):
        assert found[key].state.days == pytest.approx(expected.days, rel=1e-12)
        assert found[key].state.bins == pytest.approx(expected.bins, rel=1e-12)
    # Of the market one of two venues is enough: it was away for 100 s only.
    assert found[MARKET_KEY].state.days == pytest.approx(decayed(kept, 1_900_000 / DAY_MS).days, rel=1e-12)


def _kept(hours: float, *venues: str, names: Sequence[str] = ()) -> KeptLevel:
    return KeptLevel(_days(hours), dict.fromkeys(venues, names))


def test_a_run_that_watches_the_same_goes_on_with_what_each_stream_had() -> None:
    okx_btc = StreamKey("okx", "BTCUSDT")
    kept = {
        BTC: _kept(9, "bybit", "okx"),
        BYBIT_BTC: _kept(1, "bybit"),
        okx_btc: _kept(2, "okx"),
        BYBIT: _kept(3, "bybit"),
        StreamKey("okx", None): _kept(4, "okx"),
        MARKET_KEY: _kept(10, "bybit", "okx"),
        BREADTH_KEY: _kept(11, "bybit", "okx"),
    }

    assert choose(kept, {"bybit": [], "okx": []}) == {key: own.state for key, own in kept.items()}
    assert choose(kept, None) == {key: own.state for key, own in kept.items()}
    # A venue that joins and has no past changes nothing, except that breadth and market go on as they are, too.
    assert choose(kept, {"bybit": [], "okx": [], "binance": []}) == {key: own.state for key, own in kept.items()}


def test_a_run_that_watches_less_begins_sums_with_their_parts() -> None:
    eth = StreamKey("bybit", "ETHUSDT")
    kept = {
        BTC: _kept(9, "bybit", "okx"),
        BYBIT_BTC: _kept(1, "bybit"),
        StreamKey("okx", "BTCUSDT"): _kept(2, "okx"),
        eth: _kept(5, "bybit"),
        StreamKey(None, "ETHUSDT"): _kept(5, "bybit"),
        BYBIT: _kept(3, "bybit"),
        StreamKey("okx", None): _kept(4, "okx"),
        MARKET_KEY: _kept(10, "bybit", "okx"),
        BREADTH_KEY: _kept(11, "bybit", "okx"),
    }

    one_venue = choose(kept, {"bybit": []})
    assert one_venue[BTC] == combined([_days(1)])
    assert one_venue[BYBIT] == _days(3)
    assert one_venue[MARKET_KEY] == combined([_days(3)])
    assert BREADTH_KEY not in one_venue
    assert StreamKey("okx", "BTCUSDT") not in one_venue
    one_name = choose(kept, {"bybit": ["BTCUSDT"], "okx": []})
    assert one_name[BTC] == _days(9)
    assert eth not in one_name
    assert one_name[BYBIT] == combined([_days(1)])
    assert one_name[MARKET_KEY] == combined([combined([_days(1)]), _days(4)])


def test_a_venue_that_comes_back_is_in_the_sums_again() -> None:
    """The sum was kept by a run without it: its own state is of too little."""
    kept = {
        BTC: _kept(9, "bybit"),
        BYBIT_BTC: _kept(1, "bybit"),
        StreamKey("okx", "BTCUSDT"): KeptLevel(StreamState(2.0, {7: 3.0}), {"okx": []}),
    }

    found = choose(kept, {"bybit": [], "okx": []})

    assert found[BTC] == combined([_days(1), StreamState(2.0, {7: 3.0})])
    assert found[BTC].bins == {7: 3.0}


def test_states_are_told_at_the_end_of_an_episode_and_once_an_hour() -> None:
    levels = ReturnPeriods()
    for number in range(1_000):
        levels.lists("bybit", f"C{number}USDT", 0)
    levels.feed_up("bybit", 0)
    told: dict[StreamKey, int] = {}
    most = 0
    for second in range(1, 3_700):
        states = levels.take_states(1000 * second)
        most = max(most, len(states))
        for key in states:
            told[key] = told.get(key, 0) + 1

    assert set(told) == set(levels.streams)
    assert most <= 1
    stream = levels.stream(StreamKey("bybit", "C7USDT"), 3_700_000)
    levels.look([(stream, 5_000.0, 1)], (0.0, 0), 3_700_000)
    assert StreamKey("bybit", "C7USDT") not in levels.take_states(3_701_000)
    levels.tick(4_000_000, lambda _: (0.0, 0))
    assert levels.take_states(4_000_000)[StreamKey("bybit", "C7USDT")].bins != {}


def _some_days(seed: int) -> tuple[list[Liquidation], list[tuple[str, int, int]]]:
    random = Random(seed)
    events = sorted(
        (
            _liquidation(
                _BEGIN_MS + random.randrange(40 * _HOUR_MS),
                None if random.random() < 0.1 else round(10 ** random.uniform(1, 7), 6),
                random.choice(["bybit", "okx"]),
                random.choice(["BTCUSDT", "ETHUSDT", "SOLUSDT"]),
            )
            for _ in range(600)
        ),
        key=lambda event: event.event_ms,
    )
    half_ms = _BEGIN_MS + 20 * _HOUR_MS
    spells = [
        ("bybit", _BEGIN_MS, half_ms),
        ("bybit", half_ms + 500_000, _BEGIN_MS + 40 * _HOUR_MS),
        ("okx", _BEGIN_MS + _HOUR_MS, _BEGIN_MS + 40 * _HOUR_MS),
    ]
    seen = [e for e in events if any(v == e.venue and up <= e.event_ms <= down for v, up, down in spells)]
    return seen, spells


def _logged(directory: Path, events: Sequence[Liquidation], spells: Sequence[tuple[str, int, int]]) -> None:
    """A history without states, whose first 30 hours are in files, and a few events of them came later."""
    store = Store(directory)
    late = set(events[::37])
    for hour in range(40):
        from_ms = _BEGIN_MS + hour * _HOUR_MS
        store.write([e for e in events if from_ms <= e.event_ms < from_ms + _HOUR_MS and e not in late])
        store.mark_hour(from_ms)
    store.write([event for event in events if event in late])
    for venue, up_ms, down_ms in spells:
        store.write([], [FeedUpEntry(venue, up_ms), FeedDownEntry(venue, down_ms)])
    store.close()
    archiver = Archiver(directory)
    archiver.seal(_BEGIN_MS + 30 * _HOUR_MS + CLOSED_AFTER_MS)
    archiver.close()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_history_teaches_what_the_run_had_learned(seed: int, tmp_path: Path) -> None:
    events, spells = _some_days(seed)
    end_ms = _BEGIN_MS + 40 * _HOUR_MS
    _logged(tmp_path, events, spells)
    live = _looked(events, spells)
    assert live.levels is not None
    expected = live.levels.end(end_ms)

    level_seed = learn_levels(tmp_path, end_ms + _HOUR_MS, VelocityEngine())

    assert level_seed.events == len(events)
    assert set(level_seed.states) == set(expected)
    for key, state in expected.items():
        found = level_seed.states[key]
        assert found.days == pytest.approx(state.days, rel=1e-9), key
        assert found.bins == pytest.approx(state.bins, rel=1e-9), key
        assert found.largest_usd == state.largest_usd
    assert level_seed.days == level_seed.states[MARKET_KEY].days == pytest.approx(1.6, rel=0.05)
    brought = sum(event.notional_usd or 0.0 for event in events if event.venue == "okx")
    assert 0.8 * brought < level_seed.states[StreamKey("okx", None)].usd < brought


def test_a_run_that_watches_less_is_taught_that_only(tmp_path: Path) -> None:
    events, spells = _some_days(3)
    end_ms = _BEGIN_MS + 40 * _HOUR_MS
    _logged(tmp_path, events, spells)
    wanted = [e for e in events if e.venue == "okx" and e.instrument == "ETHUSDT"]
    live = _looked(wanted, [spell for spell in spells if spell[0] == "okx"])
    assert live.levels is not None

    seed = learn_levels(tmp_path, end_ms, VelocityEngine(), {"okx": ["ETHUSDT"]})

    expected = live.levels.end(end_ms)
    assert seed.events == len(wanted)
    assert set(seed.states) == set(expected)
    assert seed.states[MARKET_KEY].bins == pytest.approx(expected[MARKET_KEY].bins, rel=1e-9)


@pytest.mark.parametrize("most", [10, 100, 400])
def test_of_too_many_events_the_newest_teach_and_their_time_only(most: int, tmp_path: Path) -> None:
    events, spells = _some_days(4)
    end_ms = _BEGIN_MS + 40 * _HOUR_MS
    _logged(tmp_path, events, spells)

    seed = learn_levels(tmp_path, end_ms, VelocityEngine(), most_events=most)

    taught = [event for event in events if event.event_ms > seed.from_ms]
    assert seed.events == len(taught) <= most
    live = _looked(taught, [(v, max(up, seed.from_ms), down) for v, up, down in spells if down > seed.from_ms])
    assert live.levels is not None
    expected = live.levels.end(end_ms)
    assert seed.states[MARKET_KEY].days == pytest.approx(expected[MARKET_KEY].days, rel=1e-9)
    assert seed.states[MARKET_KEY].bins == pytest.approx(expected[MARKET_KEY].bins, rel=1e-9)


def test_a_history_that_takes_too_long_teaches_its_first_part(tmp_path: Path) -> None:
    events, spells = _some_days(5)
    _logged(tmp_path, events, spells)

    seed = learn_levels(tmp_path, _BEGIN_MS + 40 * _HOUR_MS, VelocityEngine(), seconds=0.0)

    assert seed.events == len([event for event in events if event.event_ms <= seed.until_ms])
    assert 0 < seed.events < len(events)
    assert seed.days == pytest.approx((seed.until_ms - _BEGIN_MS) / DAY_MS, rel=0.05)


def test_imported_events_without_coverage_teach_from_their_first_to_their_last(tmp_path: Path) -> None:
    events, _ = _some_days(6)
    _logged(tmp_path, events, [])

    seed = learn_levels(tmp_path, _BEGIN_MS + 30 * 24 * _HOUR_MS, VelocityEngine())

    span_ms = events[-1].event_ms - events[0].event_ms
    assert seed.days == pytest.approx(decayed(StreamState(0.0, {}), span_ms / DAY_MS).days, rel=0.01)


def test_states_older_than_what_is_retained_go(tmp_path: Path) -> None:
    _write(tmp_path, {BTC: _days(1)}, 1_000, {})
    connection = open_for_writing(tmp_path, "NORMAL")
    retain(tmp_path, connection, 2_000, 1 << 40)
    connection.close()

    assert read_level_states(tmp_path) == {}
