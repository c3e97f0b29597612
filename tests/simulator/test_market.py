"""The market without sockets, on a clock of the test's own."""

from itertools import pairwise

import pytest

from liqtape.simulator.deliverylog import Tally
from liqtape.simulator.faults import FAULTS, Faults
from liqtape.simulator.generator import Generator
from liqtape.simulator.listings import MARKETS
from liqtape.simulator.market import Market
from liqtape.simulator.scenario import scenario
from liqtape.simulator.wire import Frame, ServerLimits

T0 = 1_795_000_000_000
TICK_MS = 20


class Receiver:
    """Notes what it is given and when."""

    def __init__(self, venue: str) -> None:
        self.tally = Tally(connection=1, venue=venue)
        self.now_ms = T0
        self.frames: list[tuple[int, Frame, bool]] = []
        self.hung_up: list[int] = []

    def give(self, frame: Frame, *, again: bool = False) -> None:
        self.frames.append((self.now_ms, frame, again))

    def hang_up(self, code: int) -> None:
        self.hung_up.append(code)

    def liquidations(self, *, again: bool = False) -> list[tuple[int, Frame]]:
        return [(at, frame) for at, frame, copy in self.frames if frame.kind == "liquidation" and copy == again]


def run(receiver: Receiver, *faults: str, speed: float = 1.0, seconds: int = 15) -> Receiver:
    market = Market(scenario("cascade"), 3, speed, Faults(faults, 3), ServerLimits())
    market.start(T0)
    for receiver.now_ms in range(T0, T0 + seconds * 1_000 + 1, TICK_MS):
        market.advance(receiver.now_ms, [receiver])
    market.finish([receiver])
    return receiver


def truth(venue: str, at_ms: int) -> dict[int, int]:
    events = Generator(scenario("cascade"), seed=3).until(at_ms)
    return {event.serial: event.at_ms for event in events if event.listing.venue == venue}


@pytest.mark.parametrize("faults", [(), ("late",), FAULTS], ids=["none", "late", "all"])
def test_bybit_prints_every_true_liquidation_once_with_its_own_time(faults: tuple[str, ...]) -> None:
    received = run(Receiver("bybit"), *faults).liquidations()

    rows = [row for _, frame in received for row in frame.rows]
    assert {row.serial: row.event_ms - T0 for row in rows} == truth("bybit", 15_000)
    assert len(rows) == len(truth("bybit", 15_000))


def test_binance_prints_a_part_of_the_true_liquidations() -> None:
    rows = [row for _, frame in run(Receiver("binance")).liquidations() for row in frame.rows]

    true = truth("binance", 15_000)
    assert 20 < len(rows) < len(true)
    assert all(true[row.serial] == row.event_ms - T0 for row in rows)


def test_nothing_is_sent_before_it_happened_nor_long_after() -> None:
    for venue, longest_ms in (("binance", 1_000), ("bybit", 500)):
        for at_ms, frame in run(Receiver(venue)).liquidations():
            assert all(0 < at_ms - row.event_ms <= longest_ms + TICK_MS for row in frame.rows) or at_ms == T0 + 15_000


def test_late_events_arrive_up_to_two_seconds_late() -> None:
    delays = [at - row.event_ms for at, frame in run(Receiver("bybit"), "late").liquidations() for row in frame.rows]

    assert 1_500 < max(delays) <= 2_500 + TICK_MS


def test_speed_compresses_the_timeline_and_not_the_batches() -> None:
    received = run(Receiver("bybit"), speed=4.0, seconds=5).liquidations()

    times = {row.serial: row.event_ms - T0 for _, frame in received for row in frame.rows}
    assert times == {serial: int(at_ms / 4) for serial, at_ms in truth("bybit", 20_000).items()}
    in_time = [(at, frame) for at, frame in received if at < T0 + 5_000]
    of_bitcoin = [at for at, frame in in_time if frame.topics == ("allLiquidation.BTCUSDT",)]
    assert min(later - earlier for earlier, later in pairwise(of_bitcoin)) >= 500 - TICK_MS


def test_duplicates_repeat_frames_that_were_sent() -> None:
    receiver = run(Receiver("bybit"), "duplicate")

    again = [frame.body for _, frame in receiver.liquidations(again=True)]
    assert again
    assert set(again) < {frame.body for _, frame in receiver.liquidations()}


def test_one_connection_of_each_venue_is_cut_in_the_middle() -> None:
    first, second, other = Receiver("bybit"), Receiver("bybit"), Receiver("binance")
    market = Market(scenario("faults"), 1, 1.0, Faults(("cut",), 1), ServerLimits())
    market.start(T0)
    for now_ms in range(T0, T0 + 20_000, TICK_MS):
        market.advance(now_ms, [first, second, other])

    assert (first.hung_up, second.hung_up, other.hung_up) == ([1012], [], [1012])


def test_before_the_start_there_are_only_trades() -> None:
    receiver = Receiver("binance")
    market = Market(scenario("block"), 1, 1.0, Faults(FAULTS, 1), ServerLimits())
    for now_ms in range(T0, T0 + 20_000, TICK_MS):
        market.advance(now_ms, [receiver])

    assert {frame.kind for _, frame, _ in receiver.frames} == {"other_topic"}


def test_after_the_end_there_are_only_trades() -> None:
    receiver = Receiver("bybit")
    market = Market(scenario("cascade"), 1, 1.0, Faults((), 1), ServerLimits())
    market.start(T0)
    market.advance(T0 + 10_000, [receiver])
    market.finish([receiver])
    assert receiver.liquidations()
    receiver.frames.clear()

    for now_ms in range(T0 + 10_000, T0 + 20_000, TICK_MS):
        market.advance(now_ms, [receiver])

    assert {frame.kind for _, frame, _ in receiver.frames} == {"other_topic"}


def test_price_of_the_trades_falls_in_the_cascade() -> None:
    receiver = run(Receiver("binance"))

    trades = [frame.body.decode() for _, frame, _ in receiver.frames if frame.kind == "other_topic"]
    first, last = (float(body.split('"p":"')[1].split('"')[0]) for body in (trades[0], trades[-1]))
    assert 0.96 < last / first < 0.98


def test_okx_prints_at_most_one_of_a_contract_and_second_and_bundles() -> None:
    received = run(Receiver("okx")).liquidations()

    rows = [row for _, frame in received for row in frame.rows]
    true = Generator(scenario("cascade"), 3, MARKETS["okx"], "okx").until(15_000)
    of_bitcoin = sorted(row.event_ms for row in rows if row.symbol == "BTC-USDT-SWAP")
    assert min(later - earlier for earlier, later in pairwise(of_bitcoin)) >= 1_000
    assert {row.serial for row in rows} < {event.serial for event in true}
    contracts = [len({row.symbol for row in frame.rows}) for _, frame in received]
    repeated = [len(frame.rows) - count for (_, frame), count in zip(received, contracts, strict=True)]
    assert max(contracts) > 1
    assert max(repeated) > 0


def test_very_late_events_of_okx_come_minutes_after_they_happened() -> None:
    receiver = Receiver("okx")
    market = Market(scenario("cascade"), 3, 1.0, Faults(("very_late",), 3), ServerLimits())
    market.start(T0)
    for receiver.now_ms in range(T0, T0 + 600_000, 500):
        market.advance(receiver.now_ms, [receiver])

    delays = [at_ms - row.event_ms for at_ms, frame in receiver.liquidations() for row in frame.rows]
    late = [delay for delay in delays if delay > 10_000]
    assert 3 < len(late) < 0.1 * len(delays)
    assert all(60_000 <= delay <= 483_000 for delay in late)
