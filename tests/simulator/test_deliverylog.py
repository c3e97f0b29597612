from liqtape.simulator.deliverylog import DeliveryLog
from liqtape.simulator.wire import SentRow


def row(serial: int, venue: str = "bybit") -> SentRow:
    return SentRow(serial, venue, "BTCUSDT", "long", "83000.00", "0.010", 1_795_000_000_000 + serial)


def test_distinct_gives_each_liquidation_once_whoever_got_it() -> None:
    ledger = DeliveryLog()
    first, second = ledger.opened("bybit"), ledger.opened("bybit")
    ledger.delivered(first, [row(1), row(2)], copy=False)
    ledger.delivered(second, [row(2), row(3)], copy=False)
    ledger.delivered(first, [row(1)], copy=True)

    assert [(record.serial, record.connection) for record in ledger.distinct()] == [(1, 1), (2, 1), (3, 2)]
    assert (first.liquidations, first.copies, second.liquidations, second.copies) == (3, 1, 2, 0)


def test_two_liquidations_that_print_alike_are_two() -> None:
    ledger = DeliveryLog()
    alike = [row(1), SentRow(2, "bybit", "BTCUSDT", "long", "83000.00", "0.010", row(1).event_ms)]
    ledger.delivered(ledger.opened("bybit"), alike, copy=False)

    assert len(ledger.distinct()) == 2


def test_distinct_of_one_venue() -> None:
    ledger = DeliveryLog()
    ledger.delivered(ledger.opened("bybit"), [row(1)], copy=False)
    ledger.delivered(ledger.opened("binance"), [row(2, "binance")], copy=False)

    assert [record.serial for record in ledger.distinct("binance")] == [2]


def test_frames_are_counted_by_kind_and_connection() -> None:
    ledger = DeliveryLog()
    first, second = ledger.opened("bybit"), ledger.opened("binance")
    ledger.sent(first, "control")
    ledger.sent(first, "liquidation")
    ledger.sent(first, "garbage", "nan")
    ledger.sent(second, "other_topic")

    assert (first.control, first.liquidation, first.other_topic, first.garbage, first.frames) == (1, 1, 0, 1, 3)
    assert first.garbage_by_name == {"nan": 1}
    assert (second.connection, second.other_topic, second.frames) == (2, 1, 1)


def test_full_ledger_drops_the_oldest_records_and_says_so() -> None:
    ledger = DeliveryLog(capacity=3)
    tally = ledger.opened("bybit")
    ledger.delivered(tally, [row(serial) for serial in range(1, 6)], copy=False)

    assert [record.serial for record in ledger.records] == [3, 4, 5]
    assert (ledger.records_dropped_total, tally.liquidations) == (2, 5)


def test_what_a_connection_had_before_is_a_copy_whatever_it_came_with() -> None:
    ledger = DeliveryLog()
    first, second = ledger.opened("hyperliquid"), ledger.opened("hyperliquid")
    for tally in (first, second, first):
        ledger.delivered(tally, [row(1, "hyperliquid")], copy=False)

    assert [record.copy for record in ledger.records] == [False, False, True]


def test_markets_may_use_the_same_serials() -> None:
    ledger = DeliveryLog()
    for venue in ("okx", "hyperliquid"):
        ledger.delivered(ledger.opened(venue), [row(1, venue)], copy=False)

    assert len(ledger.distinct()) == 2


def test_snapshots_and_rest_answers_are_marked() -> None:
    ledger = DeliveryLog()
    tally = ledger.opened("hyperliquid")
    ledger.delivered(tally, [row(1, "hyperliquid")], copy=False, snapshot=True)
    ledger.delivered(tally, [row(2, "hyperliquid")], copy=False)
    ledger.delivered(ledger.asked("hyperliquid"), [row(2, "hyperliquid")], copy=False, snapshot=True)

    assert [(record.connection, record.snapshot, record.copy) for record in ledger.records] == [
        (1, True, False),
        (1, False, False),
        (0, True, False),
    ]
    assert (tally.liquidations, tally.snapshots) == (2, 1)
    assert ledger.rest["hyperliquid"].liquidations == 1
    assert [each.connection for each in ledger.connections] == [1]
