"""The book against a model that gets all liquidations at once, and against cases worked by hand."""

import math
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from liqtape.cascades.book import JOIN_MS, LEAST_RAISED, CascadeBook
from liqtape.cascades.cascade import Cascade
from liqtape.cascades.runningcascade import MOST_MS, QUIET_AFTER_MS, Rise
from liqtape.engine.levels.returnperiods import BREADTH_KEY, MARKET_KEY, StreamKey
from liqtape.events import Gap, Level, Liquidation, PriceKind, Side

T0 = 1_700_000_000_000
_MINUTE_MS = 60_000


def liquidation(  # noqa: PLR0917 - most tests name the first two only
    at_ms: int,
    usd: float | None = 100.0,
    instrument: str = "BTCUSDT",
    venue: str = "bybit",
    side: Side | None = "long",
    price: float = math.nan,
    kind: PriceKind = "fill",
) -> Liquidation:
    return Liquidation(venue, instrument, instrument, side, price, kind, None, usd, T0 + at_ms)


def rise(
    at_ms: int, instrument: str | None = "BTCUSDT", level: Level | None = "WATCH", detector: str = "x_usd"
) -> Rise:
    key = MARKET_KEY if instrument is None else StreamKey(None, instrument)
    return Rise(key, detector, T0 + at_ms, f"{instrument} rose", level)


def played(
    events: Sequence[Liquidation], rises: Sequence[Rise], until_ms: int, book: CascadeBook | None = None
) -> CascadeBook:
    """Play liquidations and rises in order of time, with a tick at each second; of one moment the rise comes last."""
    book = book or CascadeBook()
    steps: list[tuple[int, int, Liquidation | Rise | None]] = [(event.event_ms, 0, event) for event in events]
    steps += [(one.at_ms, 1, one) for one in rises]
    steps += [(T0 + second, 2, None) for second in range(0, until_ms + 1, 1000)]
    for at_ms, _, step in sorted(steps, key=lambda step: step[:2]):
        if step is None:
            book.tick(at_ms)
        elif isinstance(step, Rise):
            book.rise(step)
        else:
            book.add([step])
    return book


class Expected(Struct, frozen=True):
    """What the model says of a cascade."""

    begin_ms: int
    last_ms: int
    events: int
    usd: float
    peak_usd_60s: float


def model(events: Sequence[Liquidation], rises: Sequence[Rise], instrument: str) -> list[Expected]:
    """Return the cascades of one instrument, from all of its liquidations at once: no state, everything recounted."""
    own = sorted((event.event_ms, event.notional_usd or 0.0) for event in events if event.instrument == instrument)
    times = sorted(one.at_ms for one in rises if one.key.instrument == instrument)
    found: list[Expected] = []
    over_ms = 0
    for at_ms in times:
        if at_ms < over_ms:
            continue
        since_ms = max(at_ms - _MINUTE_MS, found[-1].last_ms if found else 0)
        begin_ms = min([time for time, _ in own if since_ms < time <= at_ms], default=at_ms)
        expected = _followed(own, times, begin_ms, at_ms)
        found.append(expected)
        over_ms = min(expected.last_ms + QUIET_AFTER_MS, expected.begin_ms + MOST_MS)
    return found


def _followed(own: Sequence[tuple[int, float]], times: Sequence[int], begin_ms: int, at_ms: int) -> Expected:
    inside = [(time, usd) for time, usd in own if time >= begin_ms]
    last_ms, peak, most = begin_ms, 0.0, 0
    moments = sorted([(time, 0) for time, _ in inside] + [(time, 1) for time in times if time >= at_ms])
    for moment, is_rise in moments:
        if moment > at_ms and (moment >= last_ms + QUIET_AFTER_MS or moment >= begin_ms + MOST_MS):
            break
        minute = [usd for time, usd in inside if moment - _MINUTE_MS < time <= moment]
        if is_rise:
            last_ms = max([last_ms, *(time for time, _ in inside if time <= moment)])
            continue
        peak, most = max(peak, math.fsum(minute)), max(most, len(minute))
        is_near = 2 * math.fsum(minute) >= peak if peak else 2 * len(minute) >= most
        if is_near:
            last_ms = max(last_ms, moment)
    part = [(time, usd) for time, usd in inside if time <= last_ms]
    return Expected(begin_ms, last_ms, len(part), math.fsum(usd for _, usd in part), peak)


def as_expected(cascade: Cascade) -> Expected:
    return Expected(cascade.begin_ms, cascade.last_ms, cascade.events, cascade.usd, cascade.peak_usd_60s)


_DOLLARS = st.sampled_from([None, 1.0, 10.0, 100.0, 1_000.0])
_STREAM = st.lists(st.tuples(st.integers(0, 1_500), st.integers(0, 999), _DOLLARS, st.booleans()), max_size=80)


@given(_STREAM, st.lists(st.tuples(st.integers(0, 1_500), st.booleans()), max_size=8))
def test_in_order_a_book_says_what_the_model_says(
    drawn: list[tuple[int, int, float | None, bool]], raised: list[tuple[int, bool]]
) -> None:
    names = {False: "BTCUSDT", True: "ETHUSDT"}
    events = [liquidation(1000 * second + ms, usd, names[which]) for second, ms, usd, which in drawn]
    rises = [rise(1000 * second + 500, names[which]) for second, which in raised]

    book = played(events, rises, 2_000_000)

    assert book.running() == []  # whatever came, each has an end
    assert book.total == len(book.ended())
    for name in names.values():
        cascades = sorted((one for one in book.ended() if one.name == name), key=lambda one: one.begin_ms)
        assert [as_expected(one) for one in cascades] == model(events, rises, name)
        assert all(one.end_ms == one.last_ms and not one.is_cut for one in cascades)


@given(st.integers(0, 2**32), st.integers(1, 60))
def test_late_liquidations_are_counted_where_they_belong(seed: int, most_late_s: int) -> None:
    draw = Random(seed)
    events = [liquidation(draw.randrange(120_000), draw.choice([None, 5.0, 50.0, 500.0])) for _ in range(60)]
    events.append(liquidation(61_000, 10_000.0))
    arriving = sorted(
        ((event.event_ms + draw.randrange(1000 * most_late_s), event) for event in events), key=lambda x: x[0]
    )
    book = CascadeBook()
    seen: list[Liquidation] = []
    for second in range(700):
        while arriving and arriving[0][0] <= T0 + 1000 * second:
            seen.append(arriving[0][1])
            book.add([arriving.pop(0)[1]])
        if second == 125:
            book.rise(rise(125_000))
            begun = book.of("BTCUSDT")
            assert begun is not None
        book.tick(T0 + 1000 * second)

    (cascade,) = book.ended()

    own = [event for event in events if cascade.begin_ms <= event.event_ms <= cascade.last_ms]
    assert cascade.events == len(own)
    assert cascade.unsized == sum(event.notional_usd is None for event in own)
    assert cascade.usd == pytest.approx(math.fsum(event.notional_usd or 0.0 for event in own))
    inside = [event for event in events if event.event_ms >= cascade.begin_ms]
    minutes = [
        math.fsum(one.notional_usd or 0.0 for one in inside if at - _MINUTE_MS < one.event_ms <= at)
        for at in (event.event_ms for event in inside)
    ]
    assert cascade.peak_usd_60s == pytest.approx(max(minutes))


def test_one_cascade_of_two_bursts_and_two_of_bursts_far_apart() -> None:
    first = [liquidation(1000 * k) for k in range(10)]
    near = [liquidation(200_000 + 1000 * k) for k in range(10)]
    far = [liquidation(900_000 + 1000 * k) for k in range(10)]

    book = played(first + near + far, [rise(9_000), rise(909_000)], 1_500_000)

    later, earlier = book.ended()
    assert (earlier.begin_ms, earlier.end_ms, earlier.events) == (T0, T0 + 209_000, 20)
    assert (later.begin_ms, later.end_ms, later.events) == (T0 + 900_000, T0 + 909_000, 10)
    assert earlier.id == f"{T0}-BTCUSDT-x_usd"


def test_detectors_of_one_stream_see_one_cascade() -> None:
    events = [liquidation(1000 * k) for k in range(60)]
    rises = [rise(5_000), rise(20_000, detector="cusum", level=None), rise(40_000, level="CRITICAL")]

    (cascade,) = played(events, rises, 600_000).ended()

    assert cascade.detector == "x_usd"
    assert cascade.detectors == ("x_usd", "cusum")
    assert cascade.level == "CRITICAL"
    assert cascade.detected_ms == T0 + 5_000


def test_a_rise_at_one_venue_is_of_the_instrument() -> None:
    events = [liquidation(1000 * k, venue=venue) for k in range(5) for venue in ("okx", "bybit")]
    one = Rise(StreamKey("okx", "BTCUSDT"), "cusum", T0 + 5_000, "rose", by_count=True)

    (cascade,) = played(events, [one], 600_000).ended()

    assert (cascade.name, cascade.scope, cascade.events) == ("BTCUSDT", "instrument", 10)


def test_a_venue_has_a_cascade_of_its_own_liquidations() -> None:
    events = [liquidation(1000 * k, venue=venue, instrument=venue) for k in range(5) for venue in ("okx", "bybit")]
    venue = Rise(StreamKey("okx", None), "cusum", T0 + 5_000, "rose", by_count=True)

    ended = played(events, [venue, rise(5_000, "okx"), rise(5_000, "MARKET")], 600_000).ended()

    told = {(one.name, one.scope, one.events) for one in ended}  # an instrument may bear any name
    assert told == {("okx", "venue", 5), ("okx", "instrument", 5), ("MARKET", "instrument", 0)}


@pytest.mark.parametrize("raised", [LEAST_RAISED - 1, LEAST_RAISED])
def test_the_market_has_a_cascade_when_enough_rose_with_it(raised: int) -> None:
    names = [f"C{k}USDT" for k in range(raised)]
    events = [liquidation(1000 * k, instrument=name) for k in range(30) for name in [*names, "QUIETUSDT"]]
    rises = [*(rise(10_000 + 1000 * k, name) for k, name in enumerate(names)), rise(15_000, None)]

    ended = played(events, rises, 600_000).ended()

    market = [one for one in ended if one.scope == "market"]
    assert len(market) == (raised >= LEAST_RAISED)
    for one in market:
        assert one.raised == tuple(names)
        assert one.events == len(events)
        assert one.instruments_total == raised + 1
        assert all(own.part_of == one.id for own in ended if own.scope == "instrument")


def test_instruments_that_rise_after_the_market_make_it_wide_for_a_minute() -> None:
    rises = [rise(1_000, None), rise(2_000, "AUSDT"), rise(3_000, "BUSDT")]

    in_time = played([], [*rises, rise(1_000 + JOIN_MS, "CUSDT")], 600_000)
    too_late = played([], [*rises, rise(2_000 + JOIN_MS, "CUSDT")], 600_000)

    assert [one.scope for one in in_time.ended()].count("market") == 1
    assert [one.scope for one in too_late.ended()].count("market") == 0


def test_breadth_alone_makes_it_the_markets() -> None:
    events = [liquidation(1000 * k) for k in range(5)]

    (cascade,) = played(events, [Rise(BREADTH_KEY, "breadth", T0 + 5_000, "many rose")], 600_000).ended()

    assert (cascade.name, cascade.scope, cascade.events) == ("MARKET", "market", 5)


def test_over_a_gap_a_cascade_goes_on() -> None:
    book = CascadeBook()
    book.add([liquidation(1000 * k) for k in range(10)])
    book.rise(rise(9_000))
    book.tick(T0 + 10_000)
    book.gap(Gap("bybit", T0 + 11_000, None, "lost"))
    for second in range(11, 1_211):  # twenty minutes in which nobody watched
        book.tick(T0 + 1000 * second)
    gap = Gap("bybit", T0 + 11_000, T0 + 1_211_000, "lost")
    book.gap(gap)
    book.add([liquidation(1_212_000 + 1000 * k) for k in range(10)])
    for second in range(1_230, 1_830):
        book.tick(T0 + 1000 * second)

    (cascade,) = book.ended()

    assert cascade.events == 20
    assert cascade.end_ms == T0 + 1_221_000
    assert cascade.gaps == (gap,)


def test_where_another_venue_is_watched_the_gap_of_one_puts_nothing_off() -> None:
    events = [liquidation(1000 * k, venue=venue) for k in range(10) for venue in ("okx", "bybit")]
    book = CascadeBook()
    book.gap(Gap("bybit", T0 + 9_500, None, "lost"))

    played(events, [rise(9_000)], 309_000, book)

    assert len(book.ended()) == 1


def test_what_goes_on_for_hours_is_cut_in_two() -> None:
    events = [liquidation(10_000 * k) for k in range(MOST_MS // 10_000 + 100)]

    book = played(events, [rise(1_000), rise(MOST_MS + 100_000)], MOST_MS + 1_400_000)

    later, earlier = book.ended()
    assert earlier.events + later.events >= len(events) - 10  # what came between them is of neither
    assert earlier.last_ms < later.begin_ms


def test_finish_ends_what_goes_on_and_says_so() -> None:
    book = played([liquidation(1000 * k) for k in range(10)], [rise(9_000)], 10_000)
    (running,) = book.running()

    book.finish()

    assert running.end_ms is None
    assert book.running() == []
    assert [(one.id, one.end_ms, one.is_cut) for one in book.ended()] == [(running.id, T0 + 9_000, True)]


def test_a_clock_that_steps_back_leaves_nothing_open() -> None:
    book = played([liquidation(1000 * k) for k in range(10)], [rise(9_000)], 10_000)

    book.tick(T0 - 3_600_000)

    assert book.running() == []
    assert book.total == 1


def test_news_is_told_when_it_opens_grows_and_ends() -> None:
    book = CascadeBook()
    told: list[tuple[int, int, int | None]] = []
    for second in range(400):
        if second < 40:
            book.add([liquidation(1000 * second)])
        if second == 5:
            book.rise(rise(5_000))
        book.tick(T0 + 1000 * second)
        told += [(second, one.events, one.end_ms) for one in book.take_news()]

    assert told[0] == (5, 6, None)
    assert [second for second, _, _ in told] == [5, 15, 25, 35, 45, 339]
    assert told[-1] == (339, 40, T0 + 39_000)


def test_the_price_is_followed_for_an_hour() -> None:
    burst = [liquidation(1000 * k, price=100.0 - k) for k in range(11)]
    after = [liquidation(10_000 + 3_540_000, price=99.0), liquidation(10_000 + 3_601_000, price=1.0)]

    book = played([*burst, *after], [rise(10_000)], 3_700_000)

    (cascade,) = book.ended()
    assert cascade.move_of == "BTCUSDT"
    assert cascade.move_during == pytest.approx(-0.10)
    assert cascade.move_hour_after == pytest.approx(0.10)


def test_prices_of_two_kinds_are_not_compared_and_old_ones_not_taken() -> None:
    burst = [liquidation(0, price=100.0), liquidation(1_000, price=50.0, kind="bankruptcy")]
    stale = [liquidation(1_000_000, price=100.0)]

    (mixed,) = played(burst, [rise(1_000)], 3_700_000).ended()
    (quiet,) = played([*burst, liquidation(500, price=90.0), *stale], [rise(1_000)], 3_700_000).ended()

    assert (mixed.move_of, mixed.move_during) == (None, None)
    assert quiet.move_during == pytest.approx(-0.10)
    assert quiet.move_hour_after is None


def test_btc_has_the_reference_price_where_there_is_one() -> None:
    book = CascadeBook()
    for second in range(3_700):
        book.price(T0 + 1000 * second, 50_000.0 - second)
        if second < 11:
            book.add([liquidation(1000 * second, price=1.0)])
        if second == 10:
            book.rise(rise(10_000))
        book.tick(T0 + 1000 * second)

    (cascade,) = book.ended()

    assert cascade.move_of == "BTC"
    assert cascade.move_during == pytest.approx(-10 / 50_000)
    assert cascade.move_hour_after == pytest.approx(-3_600 / 49_990)


def test_the_leading_venue_is_told_where_it_is_beyond_doubt() -> None:
    draw = Random(3)
    events: list[Liquidation] = []
    for second in range(400):
        count = 12 if draw.random() < 0.2 else 0
        for k in range(count):
            events += [liquidation(1000 * second + 10 * k, venue="okx")]
            events += [liquidation(1000 * (second + 2) + 10 * k, venue="bybit")]

    (led,) = played(events, [rise(5_000), rise(399_000)], 800_000).ended()
    (alone,) = played([one for one in events if one.venue == "okx"], [rise(5_000)], 1_200_000).ended()

    assert led.lead is not None
    assert (led.lead.venue, led.lead.follower, led.lead.lead_ms, led.lead.error_ms) == ("okx", "bybit", 2_000, 500)
    assert alone.lead is None


def test_the_share_observed_of_throttled_venues_is_an_estimate_or_unknown() -> None:
    def ended(venue: str, per_minute: int) -> Cascade:
        events = [liquidation(1000 * (60 // per_minute) * k, venue=venue) for k in range(per_minute)]
        book = CascadeBook((frozenset({"okx"}), frozenset({"hyperliquid"})))
        return played(events, [rise(59_000)], 600_000, book).ended()[0]

    assert ended("bybit", 30).share_observed == 1.0
    assert ended("okx", 30).share_observed == pytest.approx(30 / (60 * math.log(2)), abs=1e-6)
    assert ended("okx", 60).share_observed is None  # as much as it can print
    assert ended("hyperliquid", 30).share_observed is None


def test_what_an_event_without_size_adds_is_unknown_not_zero() -> None:
    (cascade,) = played([liquidation(k, None) for k in range(5)], [rise(10)], 600_000).ended()

    assert (cascade.events, cascade.unsized, cascade.usd) == (5, 5, 0.0)
    assert cascade.side is None
    assert cascade.times_usual is None


def test_the_last_ones_are_kept_and_all_are_counted() -> None:
    book = CascadeBook(most_kept=3)
    for k in range(10):
        begin_ms = 400_000 * k
        book.add([liquidation(begin_ms)])
        book.rise(rise(begin_ms))
        book.tick(T0 + begin_ms + QUIET_AFTER_MS)

    assert book.total == 10
    assert [one.begin_ms for one in book.ended()] == [T0 + 400_000 * k for k in (9, 8, 7)]


def test_nobody_said_when_feeds_were_up() -> None:
    book = CascadeBook(knows_gaps=False)

    (cascade,) = played([liquidation(0)], [rise(0)], 600_000, book).ended()

    assert cascade.gaps is None
