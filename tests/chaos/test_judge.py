from itertools import pairwise
from typing import Literal

import pytest
from chaos.judge import Arrival, Evidence, Interval, judged
from chaos.plan import VENUES, Plan, Strike, plan
from msgspec.structs import replace

from liqtape.events import Liquidation
from liqtape.simulator.wire import SentRow

T = 1_795_000_000_000


def row(serial: int, event_ms: int = T, side: Literal["long", "short"] = "long") -> SentRow:
    return SentRow(serial, "bybit", "BTCUSDT", side, "100.0", f"0.{serial}", event_ms)


def logged(of: SentRow) -> Liquidation:
    usd = float(of.price) * float(of.size)
    return Liquidation(
        of.venue,
        "BTCUSDT",
        of.symbol,
        of.side,
        float(of.price),
        "bankruptcy",
        float(of.size),
        usd,
        of.event_ms,
        None,
        "",
    )


def evidence(*strikes: Strike, **changes: object) -> Evidence:
    what = Plan(1, "calm", 1.0, (), strikes, tls=False, redundancy=dict.fromkeys(VENUES, 1), skew_ms={"bybit": 0})
    rows = [row(1), row(2, T + 1_000)]
    whole = Evidence(
        plan=what,
        began_ms=T,
        arrivals=[Arrival(row, row.event_ms + 100.0, (1, row.serial)) for row in rows],
        published=[Arrival(row, row.event_ms + 100.0, (0, row.serial)) for row in rows],
        told=[],
        logged=[logged(row) for row in rows],
        covered=[Interval("bybit", T - 5_000, T + 60_000)],
        gaps=[],
        states=[],
        killed_ms=[],
        until_ms=T + 20_000,
        reported=2,
    )
    return replace(whole, **changes)


def sums(of: Evidence) -> tuple[int, int, int, int]:
    verdict = judged(of)
    return verdict.lost, verdict.duplicated, verdict.unreported, verdict.excused


def test_all_that_was_delivered_is_there_once() -> None:
    verdict = judged(evidence())
    assert verdict.is_good
    assert verdict.events == 2


def test_delivered_and_not_logged_is_lost() -> None:
    assert sums(evidence(logged=[logged(row(1))])) == (1, 0, 0, 0)


def test_logged_more_often_than_sent_is_doubled() -> None:
    assert sums(evidence(logged=[logged(row(1)), logged(row(1)), logged(row(2, T + 1_000))])) == (0, 1, 0, 0)


def test_what_nobody_sent_is_a_problem() -> None:
    strange = logged(row(7))
    verdict = judged(evidence(logged=[*evidence().logged, strange]))
    assert not verdict.is_good
    assert "nobody sent" in verdict.problems[0]


def test_a_kill_excuses_only_what_lies_in_a_reported_gap() -> None:
    missing = [logged(row(1))]
    covered = [Interval("bybit", T - 5_000, T + 999), Interval("bybit", T + 3_000, T + 60_000)]
    assert sums(evidence(logged=missing, killed_ms=[T + 1_300.0], covered=covered)) == (0, 0, 0, 1)
    assert sums(evidence(logged=missing, killed_ms=[T + 1_300.0])) == (1, 0, 0, 0)
    assert sums(evidence(logged=missing, killed_ms=[T + 1_700.0], covered=covered)) == (1, 0, 0, 0)
    assert sums(evidence(logged=missing, killed_ms=[T + 900.0], covered=covered)) == (1, 0, 0, 0)


def test_sent_and_never_delivered_must_lie_in_a_reported_gap() -> None:
    never = {"arrivals": evidence().arrivals[:1], "logged": [logged(row(1))]}
    assert sums(evidence(**never)) == (0, 0, 1, 0)
    covered = [Interval("bybit", T - 5_000, T + 800), Interval("bybit", T + 4_000, T + 60_000)]
    assert sums(evidence(**never, covered=covered)) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("down", "up", "sent", "unreported"),
    [
        (999, 1_200, 1_100, 0),
        (1_001, 1_200, 1_100, 1),
        (900, 999, 1_100, 1),
        (1_300, 1_500, 1_400, 1),
        (1_900, 2_100, 2_000, 0),
    ],
    ids=["inside", "begins a ms too late", "ends a ms too early", "sent in it, in time", "sent in it, late"],
)
def test_what_is_missing_lies_in_the_gap_by_its_own_stamp(down: int, up: int, sent: int, unreported: int) -> None:
    covered = [Interval("bybit", T - 5_000, T + down), Interval("bybit", T + up, T + 60_000)]
    whole = evidence()
    published = [whole.published[0], Arrival(row(2, T + 1_000), float(T + sent), (0, 2))]
    found = evidence(arrivals=whole.arrivals[:1], logged=[logged(row(1))], covered=covered, published=published)
    assert judged(found).unreported == unreported


def test_what_a_short_silence_of_the_venue_hides_cannot_be_known() -> None:
    never = {"arrivals": [], "logged": [], "published": evidence().published[1:]}
    assert judged(evidence(Strike(0.9, "stall", "bybit", 1.9), **never)).unreported == 0
    assert judged(evidence(Strike(0.9, "stall", "bybit", 2.1), **never)).unreported == 1


def test_equal_rows_of_bybit_are_two_only_in_one_message() -> None:
    twins = [SentRow(serial, "bybit", "BTCUSDT", "long", "100.0", "0.1", T) for serial in (1, 2)]
    apart = [Arrival(twin, T + 100.0, (1, twin.serial)) for twin in twins]
    together = [Arrival(twin, T + 100.0, (1, 1)) for twin in twins]
    once = [logged(twins[0])]
    assert sums(evidence(arrivals=apart, published=apart, logged=once)) == (0, 0, 0, 0)
    assert sums(evidence(arrivals=together, published=together, logged=once))[0] == 1


@pytest.mark.parametrize(
    ("kind", "seconds", "covered", "expected"),
    [
        ("stall", 5.0, [(-5_000, 1_000), (6_200, 60_000)], 0),
        ("stall", 5.0, [(-5_000, 1_000), (3_000, 60_000)], 1),
        ("stall", 1.0, [(-5_000, 60_000)], 0),
        ("stall", 2.6, [(-5_000, 60_000)], 1),
        ("reset", 0.1, [(-5_000, 900), (1_300, 60_000)], 0),
        ("reset", 0.1, [(-5_000, 60_000)], 1),
    ],
    ids=["whole stall", "half of it", "short stall", "hidden stall", "reset", "hidden reset"],
)
def test_an_outage_must_show_as_a_gap(kind: str, seconds: float, covered: list[tuple[int, int]], expected: int) -> None:
    spans = [Interval("bybit", T + up, T + down) for up, down in covered]
    gaps = [Interval("bybit", before.until_ms, after.from_ms) for before, after in pairwise(spans)]
    states = [(T + 3_500.0, "bybit", "subscribing")]
    found = evidence(Strike(1.0, kind, "bybit", seconds), covered=spans, gaps=gaps, states=states, arrivals=[],
                     published=[], told=[row(1), row(2, T + 1_000)])  # fmt: skip
    assert judged(found).unreported == expected


def test_an_outage_noticed_too_late_is_unreported() -> None:
    gaps = [Interval("bybit", T + 1_000, T + 9_200)]
    late, early = ([(T + at, "bybit", "stalled")] for at in (8_900.0, 3_100.0))
    assert judged(evidence(Strike(1.0, "stall", "bybit", 8.0), gaps=gaps, states=late)).unreported == 1
    assert judged(evidence(Strike(1.0, "stall", "bybit", 8.0), gaps=gaps, states=early)).unreported == 0


def test_an_outage_is_judged_by_when_it_really_was() -> None:
    strike = Strike(1.0, "stall", "bybit", 3.0)
    really = {strike: (T + 2_500.0, T + 5_500.0)}
    states = [(T + 4_900.0, "bybit", "stalled")]
    for gap, expected in (((2_400, 5_600), 0), ((900, 4_100), 1)):
        gaps = [Interval("bybit", T + gap[0], T + gap[1])]
        assert judged(evidence(strike, gaps=gaps, states=states, done_ms=really)).unreported == expected


def test_a_seed_says_everything() -> None:
    assert plan(7) == plan(7)
    assert plan(7) != plan(8)
    kinds = {strike.kind for seed in range(200) for strike in plan(seed).strikes}
    assert kinds >= {"cut", "reset", "half_open", "black_hole", "refuse", "slow", "throttle", "drip", "stall", "notice",
                     "bad_close", "http_error", "no_pong", "restart", "kill"}  # fmt: skip
