"""Rules of the user's own."""

import pytest
from msgspec.structs import replace

from liqtape.alarms.policy.rulewatch import RowsOf, RuleWatch, read_rule
from liqtape.alarms.policy.scenes import breadth_of, rows_of
from liqtape.alarmsettings import AlarmRule, ChannelSettings, QuietHours, check_rules
from liqtape.engine import VelocityEngine
from liqtape.events import Liquidation, Side

_NOW = 1_790_000_000_000


def _engine(*events: tuple[str, str, Side, float]) -> VelocityEngine:
    engine = VelocityEngine()
    for number, (venue, instrument, side, usd) in enumerate(events):
        engine.add(Liquidation(venue, instrument, instrument, side, 1.0, "fill", usd, usd, _NOW - 1_000 + number))
    return engine


def _rows(*events: tuple[str, str, Side, float]) -> RowsOf:
    return rows_of(_engine(*events), _NOW)


_EVENTS: tuple[tuple[str, str, Side, float], ...] = (
    ("bybit", "BTCUSDT", "long", 60_000.0),
    ("okx", "BTCUSDT", "short", 20_000.0),
    ("bybit", "ETHUSDT", "long", 5_000.0),
)


@pytest.mark.parametrize(
    ("rule", "instrument", "holds"),
    [
        (AlarmRule("usd", usd=80_000.0), "BTCUSDT", True),
        (AlarmRule("usd", usd=80_001.0), "BTCUSDT", False),
        (AlarmRule("side", usd=60_000.0, side="long"), "BTCUSDT", True),
        (AlarmRule("side", usd=60_000.0, side="short"), "BTCUSDT", False),
        (AlarmRule("venue", usd=20_000.0, venues=("okx",)), "BTCUSDT", True),
        (AlarmRule("venue", usd=20_001.0, venues=("okx",)), "BTCUSDT", False),
        (AlarmRule("venues", usd=80_000.0, venues=("okx", "bybit")), "BTCUSDT", True),
        (AlarmRule("all", usd=85_000.0), "MARKET", True),
        (AlarmRule("all", usd=85_001.0), "MARKET", False),
        (AlarmRule("velocity", velocity=0.2, window=10), "BTCUSDT", True),
        (AlarmRule("velocity", velocity=0.21, window=10), "BTCUSDT", False),
        (AlarmRule("imbalance", imbalance=0.5), "BTCUSDT", True),
        (AlarmRule("imbalance", imbalance=0.51), "BTCUSDT", False),
        (AlarmRule("breadth", breadth=2), "BTCUSDT", True),
        (AlarmRule("breadth", breadth=3), "BTCUSDT", False),
        (AlarmRule("both", usd=1.0, velocity=100.0), "BTCUSDT", False),
        (AlarmRule("level", level="WATCH"), "BTCUSDT", False),
        (AlarmRule("unseen", usd=1.0), "SOLUSDT", False),
        (AlarmRule("acceleration", acceleration=1e-4), "BTCUSDT", True),
        (AlarmRule("acceleration", acceleration=10.0), "BTCUSDT", False),
    ],
    ids=lambda value: value.name if isinstance(value, AlarmRule) else str(value),
)
def test_a_rule_holds_when_all_that_it_names_does(rule: AlarmRule, instrument: str, holds: bool) -> None:
    rows = _rows(*_EVENTS)(instrument, rule.venues)

    assert read_rule(rule, instrument, rows, breadth=2).holds is holds


def test_a_reading_says_what_is_left_to_the_threshold() -> None:
    reading = read_rule(AlarmRule("usd", usd=100_000.0), "BTCUSDT", _rows(*_EVENTS)("BTCUSDT", ()), 0)

    assert (reading.usd, reading.left_usd, reading.count) == (80_000.0, 20_000.0, 2)


def test_a_step_of_the_clock_moves_the_cooldown_with_it() -> None:
    watch = RuleWatch([AlarmRule("big", usd=80_000.0, cooldown=120.0)])
    busy, calm = _rows(*_EVENTS), _rows()
    assert len(watch.look(_NOW, ["BTCUSDT"], busy, 0)) == 1
    watch.shift(-3_600_000)
    back_ms = _NOW - 3_600_000
    assert watch.look(back_ms + 1_000, ["BTCUSDT"], calm, 0) == []
    assert watch.look(back_ms + 119_000, ["BTCUSDT"], busy, 0) == []
    assert watch.look(back_ms + 119_500, ["BTCUSDT"], calm, 0) == []
    assert len(watch.look(back_ms + 120_000, ["BTCUSDT"], busy, 0)) == 1


def test_a_rule_is_told_once_a_crossing_and_not_before_its_cooldown() -> None:
    watch = RuleWatch([AlarmRule("big", usd=80_000.0, cooldown=120.0)])
    told = []
    for second in range(300):
        holds = second % 50 < 25
        rows = _rows(*_EVENTS) if holds else _rows()
        if watch.look(_NOW + 1_000 * second, ["BTCUSDT"], rows, 0):
            told.append(second)

    assert told == [0, 150]


def test_a_rule_without_instruments_looks_at_each_that_is_active() -> None:
    watch = RuleWatch([AlarmRule("any", usd=1_000.0)])

    crossings = watch.look(_NOW, {"ETHUSDT", "BTCUSDT"}, _rows(*_EVENTS), 0)

    assert [one.message.thread for one in crossings] == [f"rule-any-{name}-{_NOW}" for name in ("BTCUSDT", "ETHUSDT")]
    assert crossings[0].message.title == "any: BTCUSDT: $80k in 60 s"


def test_rows_of_a_moment_are_made_once() -> None:
    rows = _rows(*_EVENTS)

    assert rows("BTCUSDT", ())[0] is rows("BTCUSDT", ())[0]
    assert breadth_of(_engine(*_EVENTS), _NOW) == 0


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"name": ""}, "name must not be empty"),
        ({"window": 20}, "window must be one of 10, 30, 60, 300"),
        ({"usd": None}, "must name one of level, velocity"),
        ({"usd": 0.0}, "usd must be above 0"),
        ({"imbalance": 1.5}, "imbalance must be at most 1"),
        ({"imbalance": 0.5, "side": "long"}, "leave side out"),
        ({"level": "NONE"}, "level must be WATCH"),
        ({"cooldown": -1.0}, "cooldown must be at least 0"),
    ],
    ids=str,
)
def test_an_impossible_rule_is_refused(keys: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(AlarmRule("big", usd=1.0), **keys)


def test_rules_name_channels_that_are_there_and_have_names_of_their_own() -> None:
    rule = AlarmRule("big", usd=1.0, channels=("phone",))

    check_rules((rule,), frozenset({"phone"}))
    with pytest.raises(ValueError, match="no channel 'phone'; there are none"):
        check_rules((rule,), frozenset())
    with pytest.raises(ValueError, match="two rules are named 'big'"):
        check_rules((rule, rule), frozenset({"phone"}))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"kind": "webhook"}, "needs url, url_env or url_file"),
        ({"kind": "webhook", "url": "ftp://x"}, "must begin with http:// or https://"),
        ({"kind": "webhook", "url": "http://x", "url_env": "X"}, "name one of url and url_env"),
        ({"kind": "python", "target": "module"}, "needs target"),
        ({"kind": "webhook", "url": "http://x", "secret_env": "A", "secret_file": "B"}, "secret_env and secret_file"),
        ({"kind": "log", "messages_per_hour": 0}, "at least 1"),
        ({"kind": "log", "streams": ()}, "market, service or both"),
    ],
    ids=str,
)
def test_an_impossible_channel_is_refused(keys: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ChannelSettings(**keys)  # type: ignore[arg-type]


def test_a_channel_does_not_show_its_address() -> None:
    assert "token" not in repr(ChannelSettings("apprise", url="tgram://token/1"))


@pytest.mark.parametrize(
    ("start", "end", "quiet"),
    [("23:00", "07:00", {1_380, 1_439, 0, 419}), ("12:00", "13:00", {720, 779}), ("", "", set())],
)
def test_quiet_hours_may_pass_midnight(start: str, end: str, quiet: set[int]) -> None:
    hours = QuietHours(start, end)

    assert {minute for minute in (0, 419, 420, 719, 720, 779, 780, 1_379, 1_380, 1_439) if hours.holds(minute)} == quiet


@pytest.mark.parametrize("times", [("25:00", "07:00"), ("7", "8"), ("23:00", ""), ("07:60", "08:00"), ("x:y", "08:00")])
def test_a_time_of_day_that_is_none_is_refused(times: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="as in 23:00"):
        QuietHours(*times)
