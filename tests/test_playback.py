"""Recordings of the simulator, live over real sockets, against their replay."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from msgspec.structs import replace

from liqtape.cascades.choice import DETECTORS, CascadeSettings
from liqtape.cascades.detector import StreamCalm, StreamSignal
from liqtape.cli.demo import _settings
from liqtape.engine.levels.episodes import StreamState
from liqtape.engine.levels.returnperiods import MARKET_KEY, StreamKey
from liqtape.errors import ConfigurationError
from liqtape.eventfiles.replay import GridStep
from liqtape.events import Liquidation
from liqtape.history.log.journal import AliveEntry, FeedUpEntry
from liqtape.history.log.store import Store
from liqtape.instruments import Contract
from liqtape.pipeline.listener import Listener
from liqtape.pipeline.onevent import OnLiquidation
from liqtape.recording.chunks import Group
from liqtape.recording.playback import Playback
from liqtape.recording.recorder import Recorder
from liqtape.recording.records import (
    BackfillAnswer,
    FeedDown,
    FeedUp,
    ListingLoaded,
    Tick,
    Unsubscribed,
    level_seed_parts,
)
from liqtape.recording.segments import read_recording, segment_files
from liqtape.settings import HistorySettings, RedisSettings, Settings
from liqtape.simulator import Simulator
from liqtape.tracker import Tracker
from liqtape.venues import VENUES
from liqtape.venues.base import Backfills, Endpoint

_WINDOWS = (10, 30, 60, 300)


_DETECTORS = CascadeSettings(
    detectors=tuple(DETECTORS), velocity_10s=0.2, surprise=1.0, cusum=3.0, hawkes=5.0, change_point=2.0, refit=False
)
"""All of them, with thresholds that a few seconds reach."""


class _Signals(Listener):
    """What detectors said."""

    def __init__(self) -> None:
        self.said: list[StreamSignal | StreamCalm] = []

    def signal(self, signal: StreamSignal) -> None:
        self.said.append(signal)

    def calm(self, calm: StreamCalm) -> None:
        self.said.append(calm)


class _Live(NamedTuple):
    path: Path
    accepted: list[Liquidation]
    ledger: dict[str, int]
    signals: list[StreamSignal | StreamCalm]


async def _recorded(path: Path, scenario: str, seconds: float, speed: float, symbols: Sequence[str] = ()) -> _Live:
    async with Simulator(scenario, 3, speed) as simulator:
        settings = replace(
            _settings(simulator, path),
            history=HistorySettings(url="off"),
            symbols=tuple(symbols),
            cascades=_DETECTORS,
        )
        return await _run(settings, path, seconds)


async def _run(settings: Settings, path: Path, seconds: float) -> _Live:
    accepted: list[Liquidation] = []
    signals = _Signals()
    recorder = Recorder(path, segment_bytes=20_000, flush_seconds=0.05)
    tracker = Tracker(replace(settings, redis=RedisSettings(url="off")), recorder=recorder)
    tracker.listen(OnLiquidation(accepted.append))
    tracker.listen(signals)
    async with tracker:
        await asyncio.sleep(seconds)
    return _Live(path, accepted, tracker.ledger().as_dict(), signals.said)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, _Live]:
    """A few seconds of three scenarios at once."""
    base = tmp_path_factory.mktemp("recordings")

    async def record() -> tuple[_Live, ...]:
        return await asyncio.gather(
            _recorded(base / "cascade", "cascade", 4.0, 4.0),
            _recorded(base / "block", "block", 4.0, 3.0),
            _recorded(base / "faults", "faults", 4.0, 5.0, ["BTCUSDT", "ETHUSDT", "SOLUSDT"]),
        )

    return {live.path.name: live for live in asyncio.run(record())}


@pytest.fixture(params=["cascade", "block", "faults"])
def live(recordings: dict[str, _Live], request: pytest.FixtureRequest) -> _Live:
    return recordings[request.param]


def _lines(events: Sequence[Liquidation]) -> bytes:
    return msgspec.json.Encoder().encode_lines(events)


def _of(steps: Sequence[GridStep]) -> list[Liquidation]:
    return [event for step in steps for event in step.events]


def test_a_replay_accepts_what_live_accepted_to_the_byte(live: _Live) -> None:
    playback = Playback(live.path)
    accepted = _of(list(playback.steps(60)))
    assert len(accepted) > 20
    assert _lines(live.accepted) == _lines(accepted)
    assert live.ledger == playback.played().ledger
    assert (playback.played().frames, playback.broken) == (live.ledger["frames_received"], [])


def test_a_replay_signals_what_live_signalled_to_the_byte(live: _Live) -> None:
    playback, signals = Playback(live.path), _Signals()
    playback.open().listeners.add(signals)
    playback.advance(1 << 60)

    of_detectors = {one.signal.detector for one in live.signals if isinstance(one, StreamSignal)}
    assert of_detectors >= set(DETECTORS) - {"return_periods", "change_point"}
    assert msgspec.json.encode(signals.said) == msgspec.json.encode(live.signals)


def test_two_replays_are_the_same_to_the_byte_and_every_row_is_a_recount(live: _Live) -> None:
    encode = msgspec.json.Encoder().encode_lines
    first = list(Playback(live.path).steps(7))
    playback = Playback(live.path)
    second: list[GridStep] = []
    added: list[Liquidation] = []
    rows = 0
    for step in playback.steps(7):
        second.append(step)
        added += step.events
        assert playback.pipeline is not None
        clock = playback.pipeline.clock
        at = clock.at(1000 * step.second)
        assert clock.steps_total == 0
        for row in step.rows:
            rows += 1
            assert row.timestamp == clock.t_ms(1000 * step.second) / 1000
            counts = []
            for w in _WINDOWS:
                of_it = [event for event in added if event.instrument == row.symbol]
                inside = [e for e in of_it if at[e.venue] - 1000 * w < e.event_ms <= at[e.venue]]
                counts.append(len(inside))
            got = (row.event_count_10s, row.event_count_30s, row.event_count_60s, row.event_count_300s)
            assert tuple(counts) == got
            micro = sum(round((e.notional_usd or 0.0) * 1_000_000) for e in inside)
            assert micro / 1_000_000 == row.total_value_usd
    assert rows > 20
    assert encode(first) == encode(second)


def test_several_segments_were_written(recordings: dict[str, _Live]) -> None:
    assert all(len(segment_files(live.path)) > 2 for live in recordings.values())


def test_the_grid_is_on_receive_time_with_every_frame_up_to_it(recordings: dict[str, _Live]) -> None:
    """A frame counts from when it was taken: one that waited for the end of its turn, from the frames before it."""
    path = recordings["cascade"].path
    taken, latest_ns = [], 0
    for part in read_recording(path, []):
        if isinstance(part, Group):
            latest_ns = max(latest_ns, part.receive_ns)
            taken += [latest_ns] * len(part.payloads)
    playback = Playback(path)
    for step in playback.steps():
        assert playback.played().frames == sum(at_ns <= step.second * 10**9 for at_ns in taken)
        assert all((event.receive_ms or 0) <= 1000 * step.second for event in step.events)


def test_a_frame_that_waited_for_the_end_of_its_turn_is_in_the_step_in_which_it_was_taken(tmp_path: Path) -> None:
    """Seen once: received at ...542,999 ms, in the step of ...544, for a frame of ...543,000 had been taken before."""
    second = 1_790_000_542
    recorder = Recorder(tmp_path)
    recorder.open(Tracker(Settings(venues={}))._run_started())
    one, other = (recorder.track("bybit", Endpoint("wss://example", (topic,), 30.0)) for topic in "ab")
    frame = (
        b'{"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":%d,"data":'
        b'[{"T":%d,"s":"BTCUSDT","S":"Buy","v":"1","p":"9"}]}'
    )
    stamps = [1000 * second + 900 + number for number in range(3)]
    payloads = [frame % (stamp, stamp) for stamp in stamps]
    turn_ns = 1_000_000 * (1000 * second + 999)
    one.received(payloads[:1], turn_ns)
    other.received(payloads[2:], turn_ns + 1_500_000)
    one.received(payloads[1:2], turn_ns)  # read with the first, and done when the turn was over
    recorder.close()
    steps = list(Playback(tmp_path).steps())
    at = {event.event_ms: step.second for step in steps for event in step.events}
    assert [at[stamp] - second for stamp in stamps] == [1, 2, 2]


def _copied(live: _Live, to: Path) -> list[Path]:
    for file in segment_files(live.path):
        (to / file.name).write_bytes(file.read_bytes())
    return segment_files(to)


def test_a_cut_recording_gives_everything_before_the_cut(recordings: dict[str, _Live], tmp_path: Path) -> None:
    live = recordings["cascade"]
    files = _copied(live, tmp_path)
    for file in files[2:]:
        file.unlink()
    files[1].write_bytes(files[1].read_bytes()[:-2_000])
    playback = Playback(tmp_path)
    accepted = _of(list(playback.steps(60)))
    assert 0 < len(accepted) < len(live.accepted)
    assert _lines(live.accepted[: len(accepted)]) == _lines(accepted)
    assert [(broken.file, broken.damage.kind) for broken in playback.broken] == [(files[1], "cut")]
    assert "cut at byte" in str(playback.broken[0])


def test_a_damaged_part_is_a_gap_of_the_venues_and_the_rest_is_played(
    recordings: dict[str, _Live], tmp_path: Path
) -> None:
    live = recordings["cascade"]
    files = _copied(live, tmp_path)
    content = bytearray(files[1].read_bytes())
    content[len(content) // 2] ^= 1
    files[1].write_bytes(content)
    playback = Playback(tmp_path)
    steps = list(playback.steps())
    accepted = _of(steps)
    kept = set(map(msgspec.json.encode, accepted))
    assert 0 < len(accepted) < len(live.accepted)
    assert kept <= set(map(msgspec.json.encode, live.accepted))
    assert [broken.damage.kind for broken in playback.broken] == ["corrupt"]
    assert any(row.partial for step in steps for row in step.rows)


def test_a_segment_alone_is_played_with_what_it_repeats(recordings: dict[str, _Live]) -> None:
    live = recordings["faults"]
    playback = Playback(segment_files(live.path)[-2])  # the last one may hold the end and nothing else
    played = _of(list(playback.steps(60)))
    assert playback.played().runs == 1
    assert playback.broken == []
    # By identity: the first copy of a repeat may lie in an earlier segment.
    assert {(event.venue, event.id) for event in played} <= {(event.venue, event.id) for event in live.accepted}


async def test_a_second_run_goes_on_after_a_gap(tmp_path: Path) -> None:
    one = await _recorded(tmp_path, "cascade", 1.5, 4.0)
    two = await _recorded(tmp_path, "cascade", 1.5, 4.0)
    playback = Playback(tmp_path)
    accepted = _of(list(playback.steps(60)))
    assert playback.played().runs == 2
    assert _lines([*one.accepted, *two.accepted]) == _lines(accepted)


async def test_what_a_history_gave_back_is_no_news_in_the_replay_either(tmp_path: Path) -> None:
    """The second run knows the events of the first, which the venues repeat, by its history alone."""
    async with Simulator("cascade", 3, 4.0) as simulator:
        settings = _settings(simulator, tmp_path)
        await _run(settings, tmp_path / "first", 1.5)
        live = await _run(settings, tmp_path / "second", 1.5)
    assert live.ledger["events_duplicate"] > 0
    playback = Playback(tmp_path / "second")
    assert _lines(live.accepted) == _lines(_of(list(playback.steps(60))))
    assert playback.played().ledger["events_duplicate"] == live.ledger["events_duplicate"]


async def test_what_a_history_taught_is_taught_in_the_replay(tmp_path: Path) -> None:
    now_ms = time.time_ns() // 1_000_000
    times = range(now_ms - 7_200_000, now_ms - 600_000, 300)  # in more than one record
    (tmp_path / "history").mkdir()
    store = Store(tmp_path / "history")
    names = [f"C{i}USDT" for i in range(100)]
    names[0] = "BTCUSDT"
    events = [
        Liquidation("bybit", names[i % 100], "X", "long", 1.0, "fill", 1.0, 1.0, at_ms, None, str(at_ms))
        for i, at_ms in enumerate(times)
    ]
    store.write(events, [FeedUpEntry("bybit", times[0]), AliveEntry(now_ms)])
    store.close()
    async with Simulator("cascade", 3, 4.0) as simulator:
        recorder = Recorder(tmp_path / "recording", flush_seconds=0.05)
        tracker = Tracker(replace(_settings(simulator, tmp_path), redis=RedisSettings("off")), recorder=recorder)
        async with tracker:
            await asyncio.sleep(1.5)
    playback = Playback(tmp_path / "recording")
    list(playback.steps(60))
    assert playback.pipeline is not None
    assert tracker.learned.startswith("levels learned from 1.")
    for name in ("BTCUSDT", "C1USDT"):
        rates = []
        for engine in (tracker.engine, playback.pipeline.engine):
            engine.metrics(name, tracker.engine.newest_ms + 700_000)  # a replay goes on until its windows are empty
            rates.append(engine._windows[name].baseline.rate)
        assert rates[0] == rates[1] > 0.01  # per s
    live, played = tracker.engine.levels, playback.pipeline.engine.levels
    assert live is not None
    assert played is not None
    learned, again = live.states(now_ms), played.states(now_ms)
    assert learned.keys() == again.keys() > {MARKET_KEY, StreamKey("bybit", "C1USDT")}
    key = StreamKey(None, "C1USDT")  # that has no event in the run
    assert learned[key] == again[key]
    assert learned[key].days == pytest.approx(6_600_000 / 86_400_000, rel=0.1)


def test_what_levels_began_with_comes_back_in_a_replay(tmp_path: Path) -> None:
    states: list[tuple[str | None, str | None, StreamState]] = [
        ("bybit", f"C{i}USDT", StreamState(1 / (i + 3), {i % 160: (i + 1) / 7, 160: 1e-6}, 0.1 * i, 1e12 / (i + 1)))
        for i in range(1_100)
    ]
    marks = list(level_seed_parts(states))
    recorder = Recorder(tmp_path)
    recorder.open(Tracker(Settings())._run_started())
    for mark in marks:
        recorder.record(mark)
    recorder.track("bybit", Endpoint("wss://example", ("x",), 30.0)).received((b"{}",), 1_790_000_000_500_000_000)
    recorder.close()
    playback = Playback(tmp_path)

    list(playback.steps())

    assert [mark.is_last for mark in marks] == [False, True]
    assert playback.pipeline is not None
    levels = playback.pipeline.engine.levels
    assert levels is not None
    assert levels.states(0) == {StreamKey(venue, name): state for venue, name, state in states}


def test_contract_sizes_are_those_of_the_recorded_list(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.open(Tracker(Settings())._run_started())
    endpoint = Endpoint("wss://example", ("liquidation-orders",), 30.0)
    frame = (
        b'{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[{"details":[{"bkLoss":"0","bkPx":"2",'
        b'"ccy":"","posSide":"long","side":"sell","sz":"10","ts":"1790000000000"}],"instFamily":"NEW-USDT",'
        b'"instId":"NEW-USDT-SWAP","instType":"SWAP","uly":"NEW-USDT"}]}'
    )
    recorder.record(ListingLoaded("okx", [Contract("okx", "NEW-USDT-SWAP", "NEWUSDT", unit_value="12.5")]))
    recorder.track("okx", endpoint).received((frame,), 1_790_000_000_500_000_000)
    recorder.close()  # without trades the event waits for the end
    events = _of(list(Playback(tmp_path).steps()))
    assert [(event.quantity, event.notional_usd) for event in events] == [(125.0, 250.0)]


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Our own time in seconds, for records."""
    now = [0.0]
    monkeypatch.setattr("liqtape.recording.recorder.our_ns", lambda: int(now[0] * 1e9))
    monkeypatch.setattr("liqtape.recording.segments.our_ns", lambda: int(now[0] * 1e9))
    return now


def test_what_a_venue_told_of_the_past_fills_the_gap_again(tmp_path: Path, now: list[float]) -> None:
    begin_ms = 1_790_000_000_000
    now[0] = begin_ms / 1000 - 400.0
    row = b'{"bkLoss":"0","bkPx":"50000","ccy":"","posSide":"long","side":"sell","sz":"10","ts":"%d"}' % (
        begin_ms + 2_000
    )
    detail = b'"instFamily":"BTC-USDT","instId":"BTC-USDT-SWAP","instType":"SWAP","uly":"BTC-USDT"'
    venue = VENUES["okx"]
    assert isinstance(venue, Backfills)
    request = next(iter(venue.backfill_requests(begin_ms, begin_ms + 5_000, ["BTC-USDT-SWAP"])))
    payload = b'{"code":"0","data":[{"details":[' + row + b"]," + detail + b'}],"msg":""}'
    frame = (
        b'{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[{"details":['
        + row.replace(b"%d" % (begin_ms + 2_000), b"%d" % (begin_ms + 6_000))
        + b"],"
        + detail
        + b"}]}"
    )
    recorder = Recorder(tmp_path)
    recorder.open(Tracker(Settings())._run_started())
    track = recorder.track("okx", Endpoint("wss://example", ("liquidation-orders",), 30.0))
    for mark, at_ms in (
        (FeedUp("okx", begin_ms - 400_000), -400_000),
        (FeedDown("okx", begin_ms, "connection lost"), 2_000),
        (FeedUp("okx", begin_ms + 5_000), 5_000),
        (BackfillAnswer("okx", request, payload, begin_ms + 6_500), 6_500),
    ):
        now[0] = (begin_ms + at_ms) / 1000
        recorder.record(mark)
    track.received((frame,), (begin_ms + 6_600) * 1_000_000)
    now[0] = begin_ms / 1000 + 11.6  # no trades: so long the clocks are waited for
    recorder.record(Tick(begin_ms + 11_600))
    recorder.close()
    partly = Playback(tmp_path)
    rows = [row for step in partly.steps() for row in step.rows if row.symbol == "BTCUSDT"]
    assert (rows[0].event_count_300s, rows[0].partial) == (2, True)
    assert rows[0].timestamp == begin_ms // 1000 + 12
    assert partly.played().ledger["frames_received"] == 2
    assert partly.played().ledger["events_accepted"] == 2


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "000001.liqrec").write_bytes(b"no segment")
    with pytest.raises(ConfigurationError, match="nothing can be read"):
        list(Playback(tmp_path).steps())


def test_recorded_settings_hold_no_address() -> None:
    assert b"url" not in msgspec.json.encode(Tracker(Settings())._run_started())


def test_what_was_not_subscribed_is_not_covered_in_the_replay_either(tmp_path: Path, now: list[float]) -> None:
    at_s = 1_790_000_000
    now[0] = at_s - 400.0
    recorder = Recorder(tmp_path)
    recorder.open(Tracker(Settings())._run_started())
    track = recorder.track("bybit", Endpoint("wss://example", ("a",), 30.0))
    recorder.record(FeedUp("bybit", (at_s - 400) * 1000))
    recorder.record(Unsubscribed("bybit", (at_s - 400) * 1000, ["BTCUSDT"], False))
    now[0] = at_s - 5.0
    recorder.record(Unsubscribed("bybit", (at_s - 5) * 1000, [], True))
    for symbol in (b"BTCUSDT", b"ETHUSDT"):
        frame = (
            b'{"topic":"allLiquidation.%b","type":"snapshot","ts":%d,"data":'
            b'[{"T":%d,"s":"%b","S":"Buy","v":"1","p":"9"}]}'
        )
        track.received((frame % (symbol, at_s * 1000, at_s * 1000, symbol),), at_s * 1_000_000_000)
    now[0] = at_s + 0.0
    recorder.close()
    rows = [row for step in Playback(tmp_path).steps() for row in step.rows]
    # Bybit's windows end 0.6 s before now, when nothing newer came: so long it may hold back.
    assert [(row.symbol, row.coverage_10s) for row in rows[2:4]] == [("BTCUSDT", 0.54), ("ETHUSDT", 1.0)]


def test_a_mark_waits_for_its_second(tmp_path: Path, now: list[float]) -> None:
    """What happened after a second of the grid is not in its row, also where no frame lies between."""
    begin_s = 1_790_000_000
    recorder = Recorder(tmp_path)
    now[0] = begin_s - 400.0
    recorder.open(Tracker(Settings())._run_started())
    track = recorder.track("bybit", Endpoint("wss://example", ("a",), 30.0))
    recorder.record(FeedUp("bybit", (begin_s - 400) * 1000))
    frame = (
        b'{"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":%d,"data":'
        b'[{"T":%d,"s":"BTCUSDT","S":"Buy","v":"1","p":"9"}]}'
    )
    track.received((frame % (begin_s * 1000 - 5_000, begin_s * 1000 - 5_000),), (begin_s - 5) * 1_000_000_000)
    now[0] = begin_s + 0.0
    recorder.record(Tick(begin_s * 1000))  # no trades: so long the clocks are waited for
    now[0] = begin_s + 2.5
    recorder.record(FeedDown("bybit", begin_s * 1000 + 2_500, "connection lost"))
    now[0] = begin_s + 4.0
    recorder.record(FeedUp("bybit", begin_s * 1000 + 4_000))
    recorder.close()
    rows = [row for step in Playback(tmp_path).steps() for row in step.rows]
    # A gap begins 600 ms before the last sign of life: so long the venue may hold a liquidation back. As long before
    # our time its windows end, while nothing newer comes.
    assert [row.coverage_10s for row in rows[:6]] == [1.0, 1.0, 1.0, 0.95, 0.85, 0.79]
    assert len(rows) == 297  # until the window that ends 0.6 s before now has left it
