import asyncio
import json
import logging
import random
import ssl
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from msgspec import Struct
from msgspec.structs import replace

from liqtape.events import Event, PriceTick
from liqtape.feeds.backoff import Backoff
from liqtape.feeds.connection import Connection, Status
from liqtape.feeds.disconnects import Disconnected
from liqtape.venues import binance, bybit
from liqtape.venues.base import Endpoint
from liqtape.venues.limits import RateLimit, RateLimiter
from liqtape.venues.session import ACK_LIMIT

START_MS = 1_790_000_000_000
ACK = b'{"result":null,"id":1}'
TRADE = b'{"e":"aggTrade","s":"BTCUSDT","p":"80000.0","q":"0.5","T":1790000000000}'
FORCED = (
    b'{"e":"forceOrder","E":1790000000010,"o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"1","p":"80000",'
    b'"ap":"80000","X":"FILLED","l":"1","z":"1","T":1790000000000}}'
)
SHUTDOWN = b'{"e":"serverShutdown","E":1790000000000}'
ENDPOINT = Endpoint("wss://stream.example/market/ws", ("!forceOrder@arr", "btcusdt@aggTrade"), 10.0, "btcusdt@aggTrade")


class ManualClock:
    """Time passes only while somebody waits for it, and then at once; what was planned happens on the way."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.waits: list[float] = []
        self._plan: list[tuple[float, Callable[[], None]]] = []

    def wall(self) -> float:
        return START_MS / 1000 + self.seconds

    def now(self) -> float:
        return self.seconds

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        self._plan.append((self.seconds + seconds, action))
        self._plan.sort(key=lambda entry: entry[0])

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        await asyncio.sleep(0)
        self.waits.append(seconds)
        until = self.seconds + seconds
        while not event.is_set() and self._plan and self._plan[0][0] <= until:
            at, action = self._plan.pop(0)
            self.seconds = max(self.seconds, at)
            action()
            await asyncio.sleep(0)  # no time passes within one turn of the loop
        if not event.is_set():
            self.seconds = until


class ScriptedSocket:
    """A connection whose other side is the test."""

    def __init__(self, receive: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        self.lost: Disconnected | None = None
        self.receive = receive
        self.sent: list[bytes] = []
        self.closed = False
        self._on_lost = on_lost

    def send(self, frame: bytes) -> None:
        self.sent.append(frame)

    def pause(self) -> None:
        """Nothing is read here."""

    def resume(self) -> None:
        """Nothing is read here."""

    async def close(self, code: int = 1000) -> None:
        assert code == 1000
        self.closed = True

    def lose(self, cause: str = "closed_1006") -> None:
        self.lost = Disconnected(cause, f"scripted: {cause}")
        self._on_lost()


class Attempt(Struct, frozen=True):
    """A frame or a loss, so many seconds after the connection opened."""

    at: float
    frame: bytes | str


class Stage:
    """Connections by script: each attempt is a list of what comes when, or the name of a failure to connect."""

    def __init__(self, *attempts: list[Attempt] | str, endpoint: Endpoint = ENDPOINT, **options: Any) -> None:
        self.clock = ManualClock()
        self.sockets: list[ScriptedSocket] = []
        self.statuses: list[Status] = []
        self.events: list[Event] = []
        self.urls: list[str] = []
        self.at: list[float] = []
        self._attempts = list(attempts)
        self.connection = Connection(
            options.pop("venue", binance),
            endpoint,
            on_events=options.pop("on_events", self.events.extend),
            on_state=options.pop("on_state", lambda _, status: self.statuses.append(status)),
            rng=options.pop("rng", random.Random(1)),
            on_leaving=options.pop("on_leaving", None),
            addresses=options.pop("addresses", ()),
            rate_limiter=options.pop("turnstile", None),
            clock=self.clock,
            connect=self._connect,
        )

    async def play(self) -> Connection:
        """Run the script to its end, then stop."""
        async with asyncio.timeout(10):
            await self.connection.run()
        return self.connection

    async def _connect(
        self,
        url: str,
        receive: Callable[[bytes], None],
        on_lost: Callable[[], None],
        ssl_context: ssl.SSLContext | None,
    ) -> ScriptedSocket:
        assert ssl_context is None
        self.urls.append(url)
        self.at.append(self.clock.now())
        if not self._attempts:
            asyncio.get_running_loop().create_task(self.connection.stop())
            await asyncio.Event().wait()
        attempt = self._attempts.pop(0)
        if isinstance(attempt, str):
            raise Disconnected(attempt, f"scripted: {attempt}")
        socket = ScriptedSocket(receive, on_lost)
        self.sockets.append(socket)
        for line in attempt:
            what = line.frame
            self.clock.after(line.at, partial(socket.lose, what) if isinstance(what, str) else partial(receive, what))
        return socket

    def states(self) -> list[str]:
        return [status.state for status in self.statuses]

    def waiting(self) -> list[Status]:
        return [status for status in self.statuses if status.state == "waiting"]


def trade(at: float, *, lag_ms: int = 0) -> Attempt:
    """A trade that comes so long after its time."""
    return Attempt(at, TRADE.replace(b"1790000000000", b"%d" % (START_MS + round(1000 * at) - lag_ms)))


def live(until: float, *, every: float = 5.0, end: bytes | str = "closed_1006") -> list[Attempt]:
    """Acknowledged at 0.1 s, a trade at 0.2 s and then regularly, lost at `until`."""
    trades = [trade(0.2 + every * i) for i in range(int((until - 0.2) / every) + 1)]
    return [Attempt(0.1, ACK), *trades, Attempt(until, end)]


class Most(random.Random):
    """Draws the end of each range."""

    def uniform(self, a: float, b: float) -> float:
        assert a in {0.0, 0.85}
        return b


async def test_limits_of_the_back_off_double_up_to_the_cap() -> None:
    stage = Stage(*["refused"] * 40, rng=Most())

    connection = await stage.play()

    assert stage.clock.waits[:8] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert stage.clock.waits[8:] == [30.0] * 32
    assert connection.failures == {"refused": 40}
    assert connection.reconnects == 40


async def test_waits_are_drawn_from_the_whole_range() -> None:
    stage = Stage(*["dns"] * 400)

    await stage.play()

    late = stage.clock.waits[7:]
    assert all(0.0 <= wait <= 30.0 for wait in late)
    assert min(late) < 3.0
    assert max(late) > 27.0
    assert len(set(late)) == len(late)


async def test_two_connections_do_not_reconnect_in_step() -> None:
    stages = [Stage(*["refused"] * 5, rng=None) for _ in range(2)]

    for stage in stages:
        await stage.play()

    assert stages[0].clock.waits != stages[1].clock.waits


def test_an_endless_row_of_failures_does_not_overflow() -> None:
    assert Backoff(first=0.5, cap=30.0).delay(1_000_000, Most()) == 30.0


@pytest.mark.parametrize(("lived", "waits"), [(25.0, [0.5, 1.0, 2.0]), (40.0, [0.5, 1.0, 0.5])], ids=["short", "long"])
async def test_only_a_connection_that_held_starts_the_back_off_afresh(lived: float, waits: list[float]) -> None:
    stage = Stage("refused", "refused", live(lived), rng=Most())

    await stage.play()

    assert [(s.until_ms or 0) - s.since_ms for s in stage.waiting()] == [int(w * 1000) for w in waits]


async def test_states_and_stamps_of_a_life_with_a_loss() -> None:
    stage = Stage(live(7.0), rng=Most())

    await stage.play()

    waiting = Status(
        "waiting",
        START_MS + 7_000,
        "closed_1006",
        "scripted: closed_1006",
        until_ms=START_MS + 7_500,
        down_ms=START_MS + 5_200,
    )
    assert stage.statuses[:4] == [
        Status("connecting", START_MS),
        Status("subscribing", START_MS),
        Status("live", START_MS + 200, up_ms=START_MS + 400),
        waiting,
    ]
    assert stage.states()[4:] == ["connecting", "stopped"]
    assert stage.statuses[4].cause == "closed_1006"
    assert len(stage.events) == 3
    assert [type(event) for event in stage.events[1:]] == [PriceTick] * 2
    assert stage.sockets[0].closed


async def test_a_stall_is_a_gap_from_the_last_data_on() -> None:
    stage = Stage([Attempt(0.1, ACK), trade(0.2), trade(3.0)])

    connection = await stage.play()

    stalled = stage.statuses[3]
    assert stage.states()[:5] == ["connecting", "subscribing", "live", "stalled", "waiting"]
    assert (stalled.since_ms, stalled.down_ms) == (START_MS + 13_000, START_MS + 3_000)
    assert "no data for 10 s" in stalled.reason
    assert stage.statuses[4].down_ms is None
    assert connection.failures == {"stalled": 1}
    assert stage.sockets[0].closed


@pytest.mark.parametrize("lag_ms", [-3_600_000, 0, 1_500, 3_600_000], ids=str)
async def test_coverage_is_in_the_venues_time_whatever_our_clock_or_the_line_do(lag_ms: int) -> None:
    stage = Stage([Attempt(0.1, ACK), trade(0.2, lag_ms=lag_ms), trade(3.0, lag_ms=lag_ms), Attempt(4.0, "reset")])

    await stage.play()

    assert stage.statuses[2].up_ms == START_MS + 200 - lag_ms + 200
    assert stage.statuses[3].down_ms == START_MS + 3_000 - lag_ms


async def test_a_trade_before_the_last_answer_proves_nothing_of_what_it_answers() -> None:
    stage = Stage([trade(0.1), Attempt(1.0, ACK), trade(2.0), Attempt(4.0, "reset")])

    await stage.play()

    assert (stage.statuses[2].since_ms, stage.statuses[2].up_ms) == (START_MS + 2_000, START_MS + 2_200)


async def test_a_feed_whose_trades_were_refused_goes_by_its_liquidations() -> None:
    only = Endpoint(ENDPOINT.url, ("!forceOrder@arr",), silence_limit=10.0)
    stage = Stage([Attempt(0.1, ACK), Attempt(0.5, FORCED), Attempt(3.0, FORCED), Attempt(4.0, "reset")], endpoint=only)

    await stage.play()

    assert stage.statuses[2].up_ms == START_MS + binance.max_publish_delay_ms
    assert stage.statuses[3].down_ms == START_MS + binance.max_publish_delay_ms + 2_500


async def test_a_feed_that_is_acknowledged_and_silent_was_never_up() -> None:
    stage = Stage([Attempt(0.1, ACK)], [Attempt(0.1, ACK)])

    connection = await stage.play()

    assert "live" not in stage.states()
    assert all(status.up_ms is None and status.down_ms is None for status in stage.statuses)
    assert connection.failures == {"stalled": 2}
    assert connection.last_data_age is None


async def test_undecodable_frames_are_not_data() -> None:
    stage = Stage([Attempt(0.1, ACK), Attempt(0.2, TRADE), *(Attempt(float(at), b"\x00") for at in range(1, 30))])

    connection = await stage.play()

    assert connection.failures == {"stalled": 1}
    assert connection.ledger.frames_undecodable == 10
    assert connection.ledger.balanced()


async def test_an_unanswered_subscription_is_given_up() -> None:
    stage = Stage([])

    connection = await stage.play()

    assert stage.states()[:4] == ["connecting", "subscribing", "stalled", "waiting"]
    assert stage.statuses[2].since_ms == START_MS + int(ACK_LIMIT * 1000)
    assert connection.failures == {"subscription": 1}


async def test_a_subscription_refused_as_a_whole_is_given_up_at_once() -> None:
    refusals = [Attempt(0.1, b'{"code":2,"msg":"no","id":%d}' % number) for number in (1, 2, 3)]
    stage = Stage(refusals)

    connection = await stage.play()

    assert stage.states()[:3] == ["connecting", "subscribing", "waiting"]
    assert stage.statuses[2].since_ms == START_MS + 100
    assert connection.failures == {"subscription": 1}


REFUSAL = [
    Attempt(0.1, b'{"code":2,"msg":"no","id":1}'),
    Attempt(0.2, b'{"code":2,"msg":"gone","id":2}'),
    Attempt(0.3, b'{"result":null,"id":3}'),
    Attempt(0.4, TRADE),
]
LATER_TRADE = TRADE.replace(b"1790000000000", b"1790000009000")


async def test_a_feed_lives_without_a_topic_of_one_symbol_and_tells_when_it_is_given(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Where each topic brings one symbol: the others are whole."""

    class BySymbol:
        listing_needed = True

        def __getattr__(self, name: str) -> Any:
            return getattr(binance, name)

    given = [Attempt(1.3, b'{"result":null,"id":4}'), Attempt(1.5, TRADE)]
    given += [Attempt(1.6, LATER_TRADE), Attempt(2.0, LATER_TRADE), Attempt(2.5, "closed_1006")]
    caplog.set_level(logging.INFO, "liqtape.feeds.connection")
    stage = Stage([*REFUSAL, *given], endpoint=replace(ENDPOINT, canary=""), venue=BySymbol())

    connection = await stage.play()

    assert stage.states()[:5] == ["connecting", "subscribing", "live", "live", "waiting"]
    # The trade before the answer and one that only repeats it prove nothing of the topic that was given at last.
    assert [status.up_ms for status in stage.statuses[2:4]] == [START_MS + 200, START_MS + 9_200]
    assert stage.statuses[4].down_ms == START_MS + 9_000  # as far as the feed is proven to have lived
    assert [record.getMessage() for record in caplog.records if "topic" in record.message] == [
        f"binance {ENDPOINT.url}: 1 of 2 topics refused: !forceOrder@arr (gone); asking again",
        f"binance {ENDPOINT.url}: every topic is subscribed at last",
    ]
    assert connection.failures == {"closed_1006": 1}


async def test_a_feed_does_not_live_without_a_topic_of_everything() -> None:
    trades = [Attempt(0.4 + at, TRADE) for at in range(7)]
    refused_again = [Attempt(1.3, b'{"code":2,"msg":"gone","id":4}')]
    given = [Attempt(3.4, b'{"result":null,"id":5}'), Attempt(3.6, LATER_TRADE), Attempt(4.0, "closed_1006")]
    script = sorted([*REFUSAL, *trades, *refused_again, *given], key=lambda attempt: attempt.at)
    stage = Stage(script, endpoint=replace(ENDPOINT, canary=""))

    connection = await stage.play()

    assert stage.states()[:5] == ["connecting", "subscribing", "refused", "live", "waiting"]
    assert stage.statuses[2].reason == "refused: !forceOrder@arr (gone)"
    assert stage.statuses[3].up_ms == START_MS + 9_200
    asked = [json.loads(frame)["params"] for frame in stage.sockets[0].sent]
    assert asked[3:] == [["!forceOrder@arr"], ["!forceOrder@arr"]]
    assert connection.failures == {"closed_1006": 1}


async def test_a_refused_feed_that_falls_silent_is_stalled() -> None:
    stage = Stage([*REFUSAL], endpoint=replace(ENDPOINT, canary=""))

    connection = await stage.play()

    assert stage.states()[:4] == ["connecting", "subscribing", "refused", "stalled"]
    assert connection.failures["stalled"] == 1
    assert all(status.up_ms is None and status.down_ms is None for status in stage.statuses)


async def test_liquidations_alone_make_a_feed_live_once_trades_are_overdue() -> None:
    """Else it would be subscribing for ever, though everything comes."""
    forced = [Attempt(float(at), FORCED) for at in range(1, 15)]
    stage = Stage([Attempt(0.5, ACK), *forced, Attempt(14.5, "closed_1006")])

    await stage.play()

    assert stage.states()[:4] == ["connecting", "subscribing", "live", "waiting"]
    assert stage.statuses[2].since_ms == START_MS + 11_000  # the first one 10 s after the answer
    assert stage.statuses[2].up_ms == START_MS + binance.max_publish_delay_ms


async def test_a_notice_after_a_good_while_reconnects_at_once() -> None:
    stage = Stage(live(60.0, end=SHUTDOWN), rng=Most())

    connection = await stage.play()

    (waiting,) = stage.waiting()
    assert waiting.until_ms == waiting.since_ms == START_MS + 60_000
    assert connection.failures == {"notice": 1}
    assert "serverShutdown" in waiting.reason


async def test_notices_at_every_connection_do_not_become_a_race() -> None:
    stage = Stage(*[live(1.0, end=SHUTDOWN)] * 4, rng=Most())

    await stage.play()

    assert [(s.until_ms or 0) - s.since_ms for s in stage.waiting()] == [500, 1_000, 2_000, 4_000]


async def test_a_connection_another_one_takes_over_from_stays_until_it_is_lost_and_ends() -> None:
    asked: list[Connection] = []

    def takes_over(connection: Connection) -> bool:
        asked.append(connection)
        return True

    stage = Stage([*live(5.0, end=SHUTDOWN), *live(8.0)[2:]], live(9.0), on_leaving=takes_over)

    connection = await stage.play()

    assert asked == [connection]
    assert stage.states() == ["connecting", "subscribing", "live", "stopped"]
    assert stage.statuses[-1].down_ms == START_MS + 5_200
    assert connection.failures == {"notice": 1}
    assert connection.reconnects == 0


async def test_a_notice_that_nobody_takes_over_from_reconnects() -> None:
    stage = Stage(live(60.0, end=SHUTDOWN), on_leaving=lambda _: False)

    connection = await stage.play()

    assert connection.failures == {"notice": 1}
    assert connection.reconnects == 1


async def test_the_end_of_its_lifetime_is_told_early_and_again_where_nobody_takes_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(binance, "limits", replace(binance.limits, lifetime=1_000.0))
    at: list[float] = []

    def nobody(connection: Connection) -> bool:
        at.append(connection._now())
        return False

    stage = Stage(live(1_200.0), on_leaving=nobody, rng=Most())

    await stage.play()

    assert at[0] == pytest.approx(950.0, abs=0.1)
    assert [round(b - a) for a, b in pairwise(at)][:3] == [60, 60, 60]


async def test_addresses_take_turns_while_none_stays_live() -> None:
    other = replace(ENDPOINT, url="wss://other.example/ws")
    silent = [Attempt(0.1, ACK)]
    stage = Stage(silent, "dns", silent, live(40.0), "refused", addresses=(ENDPOINT, other))

    connection = await stage.play()

    assert stage.urls == [ENDPOINT.url] * 2 + [other.url] * 4
    assert connection.endpoint == ENDPOINT
    assert connection.session.endpoint == other


async def test_attempts_keep_the_venues_pace_while_everything_fails() -> None:
    stage = Stage(*["refused"] * 40, turnstile=RateLimiter([RateLimit(3, 60.0)]))

    connection = await stage.play()

    assert min(later - first for first, later in zip(stage.at, stage.at[3:], strict=False)) > 59.999
    assert connection.failures == {"refused": 40}
    assert {status.cause for status in stage.waiting()} == {"refused"}


async def test_connections_of_a_venue_share_its_pace() -> None:
    rate_limiter = RateLimiter([RateLimit(3, 60.0)])
    stages = [Stage(*["refused"] * 10, turnstile=rate_limiter) for _ in range(4)]
    clock = stages[0].clock
    for stage in stages[1:]:
        stage.clock = stage.connection._clock = clock
        stage.connection._now, stage.connection._wall = clock.now, clock.wall
    for stage in stages:  # one after the other, on one clock
        await stage.play()

    at = sorted(at for stage in stages for at in stage.at)
    assert min(later - first for first, later in zip(at, at[3:], strict=False)) > 59.999


async def test_heartbeats_go_out_and_nothing_else_wakes_the_runner() -> None:
    ack = Attempt(0.1, b'{"success":true,"op":"subscribe","req_id":"1"}')
    trade = b'{"topic":"publicTrade.BTCUSDT","data":[{"T":1790000000000,"s":"BTCUSDT","S":"Buy","v":"1","p":"80000"}]}'
    trades = [Attempt(0.3 + at / 10, trade) for at in range(1_000)]
    endpoint = Endpoint(ENDPOINT.url, ("publicTrade.BTCUSDT",), silence_limit=15.0)
    stage = Stage([ack, *trades, Attempt(100.25, "closed_1000")], endpoint=endpoint, venue=bybit)

    await stage.play()

    assert stage.sockets[0].sent.count(b'{"op":"ping"}') == 5
    assert len(stage.events) == 1_001
    # A heartbeat every 20 s, and between two of them at most one look at each silence limit that data moved on.
    assert len(stage.clock.waits) <= 20


async def test_an_error_of_the_state_callback_is_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    def on_state(_: Connection, __: Status) -> None:
        raise ZeroDivisionError

    stage = Stage(live(1.0), on_state=on_state)

    connection = await stage.play()

    assert connection.failures == {"internal": 6, "closed_1006": 1}
    assert len(stage.events) == 2
    assert [record.levelname for record in caplog.records if record.exc_info] == ["ERROR"]


async def test_an_error_of_the_venue_s_code_does_not_end_the_feed(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            return getattr(binance, name)

        def subscribe(self, request_id: str, topics: tuple[str, ...]) -> bytes:
            raise ArithmeticError(f"{request_id} {topics}")

    stage = Stage([], [], [], venue=Broken())

    connection = await stage.play()

    assert connection.failures == {"internal": 3}
    assert [record.levelname for record in caplog.records if record.exc_info] == ["ERROR"]
    assert all(socket.closed for socket in stage.sockets)


async def test_one_line_a_cause_while_it_lasts(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    stage = Stage(*["refused"] * 50, *["dns"] * 50, live(40.0))

    await stage.play()

    assert [record.levelname for record in caplog.records] == [
        "INFO",  # connecting
        "WARNING",  # refused
        "WARNING",  # dns
        "INFO",  # live
        "WARNING",  # closed
        "INFO",  # stopped
    ]


async def test_the_age_of_the_last_data_outlives_the_connection() -> None:
    stage = Stage(live(1.0), "refused", "refused", rng=Most())

    connection = await stage.play()

    assert connection.last_data_age == pytest.approx(0.8 + 0.5 + 1.0 + 2.0)


async def test_a_second_run_at_the_same_time_is_refused() -> None:
    stage = Stage()
    stage.connection._running = True

    with pytest.raises(RuntimeError, match="runs already"):
        await stage.connection.run()


def test_a_status_is_a_record() -> None:
    assert msgspec.json.decode(msgspec.json.encode(Status("live", 1, up_ms=1)), type=Status).up_ms == 1
