from collections.abc import Sequence
from typing import Any, Literal

from liqtape.events import Alert, Level, Liquidation
from liqtape.tui.apirecords import SeenMessage, SeenNow, SeenTrust
from liqtape.tui.tablerow import TableRow
from liqtape.tui.watched import Watched

NOW = SeenNow(level="NONE", trust=SeenTrust(4, 4))


def message(kind: Literal["snapshot", "update"], rows: Sequence[TableRow] = (), **known: Any) -> SeenMessage:
    return SeenMessage(kind, 1_000, NOW, rows, **known)


def liquidation(number: int, usd: float | None = 20.0, instrument: str = "BTCUSDT") -> Liquidation:
    return Liquidation("bybit", instrument, instrument, "long", 1.0, "fill", usd, usd, number)


def alert(level: Level, at_ms: int) -> Alert:
    return Alert("BTCUSDT", level, "NONE", at_ms, 1.0, 0.0, 1, 1.0, "return_period")


def test_an_update_adds_and_a_snapshot_replaces(make: Any) -> None:
    watched = Watched()
    watched.take(message("snapshot", [make.table_row("A")], events=[liquidation(1), liquidation(2)]), 0.0)
    watched.take(message("update", [make.table_row("B")], events=[liquidation(3)]), 1.0)

    assert list(watched.rows) == ["A", "B"]
    assert [event.event_ms for event in watched.events] == [3, 2, 1]

    watched.take(message("snapshot", [make.table_row("C")], events=[liquidation(9)], missed=7), 2.0)

    assert list(watched.rows) == ["C"]
    assert [event.event_ms for event in watched.events] == [9]
    assert watched.missed_total == 7


def test_the_row_of_zeros_is_the_last(make: Any) -> None:
    watched = Watched()
    watched.take(message("update", [make.table_row("A")]), 0.0)
    watched.take(
        message("update", [make.table_row("A", event_count_300s=0), make.table_row("B", event_count_300s=0)]), 1.0
    )

    assert watched.rows == {}


def test_what_was_left_out_is_counted_and_what_cannot_be_known_is_not() -> None:
    watched = Watched()
    watched.take(message("update", events_left_out=5), 0.0)
    watched.take(message("snapshot", missed=None), 1.0)

    assert watched.missed_total == 5


def test_changes_are_the_newest_first_and_those_worth_saying() -> None:
    watched = Watched()
    watched.take(message("snapshot", alerts=[alert("CRITICAL", 3), alert("WATCH", 2), alert("ALERT", 1)]), 0.0)

    assert [change.at_ms for change in watched.changes] == [3, 1]


def test_the_health_stays_where_a_message_has_none(make: Any) -> None:
    watched = Watched()
    watched.take(message("update", health=[make.health()]), 0.0)
    watched.take(message("update"), 1.0)

    assert [venue.venue for venue in watched.health] == ["bybit"]


def test_silence_is_counted_from_the_last_message() -> None:
    watched = Watched()
    assert watched.silence(99.0) == 0.0

    watched.take(message("update"), 10.0)
    watched.lose("refused")
    assert (watched.silence(12.5), watched.lost) == (2.5, "refused")

    watched.take(message("update"), 13.0)
    assert (watched.silence(13.0), watched.lost) == (0.0, "")


def test_what_is_frozen_does_not_change(make: Any) -> None:
    watched = Watched()
    watched.take(message("update", [make.table_row("A")], events=[liquidation(1)]), 0.0)
    frozen = watched.frozen()
    watched.take(message("update", [make.table_row("B")], events=[liquidation(2)]), 1.0)

    assert (list(frozen.rows), len(frozen.events)) == (["A"], 1)
    assert (list(watched.rows), len(watched.events)) == (["A", "B"], 2)


def test_the_tape_has_what_is_wanted_and_what_has_no_size() -> None:
    watched = Watched()
    events = [liquidation(1, 5.0), liquidation(2, 50.0), liquidation(3, None), liquidation(4, 70.0, "ETHUSDT")]
    watched.take(message("update", events=events), 0.0)

    assert [event.event_ms for event in watched.tape(None, None, 10.0)] == [4, 3, 2]
    assert [event.event_ms for event in watched.tape("BTCUSDT", None, 10.0)] == [3, 2]
    assert watched.tape(None, "short", 0.0) == []


def test_names_are_found_in_any_case_and_leaders_have_usd(make: Any) -> None:
    rows = [
        make.table_row("BTCUSDT", usd_60s=1.0),
        make.table_row("kBTC", usd_60s=2.0),
        make.table_row("E", usd_60s=0.0),
    ]
    watched = Watched()
    watched.take(message("update", rows), 0.0)

    assert [row.symbol for row in watched.matching("btc")] == ["BTCUSDT", "kBTC"]
    assert watched.leaders() == ["kBTC", "BTCUSDT"]
