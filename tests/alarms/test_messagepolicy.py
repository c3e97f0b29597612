"""The policy as a whole: causes, threads, budgets, repeatability."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from liqtape.alarms.policy.channelgate import HOUR_MS
from liqtape.alarms.policy.messagepolicy import MessagePolicy, PolicySettings, PolicyState
from liqtape.alarms.policy.messages import AddressedMessage, AlarmMessage
from liqtape.alarms.policy.sightings import BREADTH_SCOPE, Scene, Sighting, Surroundings
from liqtape.alarmsettings import ChannelSettings, QuietHours
from liqtape.events import LEVELS, Level, Liquidation

_DAY = 86_400_000
_LOG = {"log": ChannelSettings("log", messages_per_hour=1_000)}


def _sighting(scope: str, level: Level = "ALERT", highest: float = 1e6, days: float = 1_000_000.0) -> Sighting:
    return Sighting(scope, level, highest, 9, days, 20.0, threshold=5e5, floor=1e5)


@dataclass
class _Run:
    """A policy that has watched a day, and all that it said since."""

    settings: PolicySettings = field(default_factory=lambda: PolicySettings(channels=_LOG))
    now_ms: int = _DAY
    instruments: int = 100
    said: list[AddressedMessage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.policy = MessagePolicy(self.settings)
        self.policy.look(Scene(0, instruments=self.instruments))
        self.policy.look(Scene(self.now_ms, instruments=self.instruments))

    def at(self, seconds: float, *seen: Sighting, **more: object) -> list[AlarmMessage]:
        """Look so many seconds after the last look."""
        self.now_ms += round(1_000 * seconds)
        scene = replace(Scene(self.now_ms, seen, self.instruments), **more)
        found = self.policy.look(scene)
        self.said += found
        return [one.message for one in found]

    def calm(self, seconds: int, **more: object) -> list[AlarmMessage]:
        found = []
        for _ in range(seconds // 5):
            found += self.at(5, **more)
        return found


def test_an_event_is_one_thread_with_a_begin_and_an_end() -> None:
    run = _Run()

    begun = run.at(1, _sighting("BTCUSDT"))
    ended = run.calm(400)

    assert [message.kind for message in begun] == ["begin"]
    assert [message.kind for message in ended] == ["end"]
    assert [message.key for message in begun + ended] == [f"{begun[0].thread}/1", f"{begun[0].thread}/2"]
    assert ended[0].at_ms - begun[0].at_ms == 300_000
    assert run.policy.thread is None


def test_what_rises_within_60_s_joins_and_what_comes_later_does_not() -> None:
    run = _Run()
    btc, eth, sol = _sighting("BTCUSDT"), _sighting("ETHUSDT", days=2), _sighting("SOLUSDT", days=2)

    run.at(1, btc)
    run.at(59, btc, eth)
    run.at(61, btc, eth, sol)

    assert run.policy.thread is not None
    assert set(run.policy.thread.members) == {"BTCUSDT", "ETHUSDT"}


def test_what_was_at_alert_long_before_does_not_join() -> None:
    run = _Run()
    old = _sighting("XRPUSDT", days=0.001)

    run.at(1, old)
    assert not run.said
    run.at(61, old, _sighting("BTCUSDT"))

    assert run.policy.thread is not None
    assert set(run.policy.thread.members) == {"BTCUSDT"}


def test_an_event_without_end_of_rises_stays_one_thread_and_updates_once_a_minute() -> None:
    run = _Run()
    seen = [_sighting("I0")]
    run.at(1, *seen)
    for number in range(1, 60):  # one more every ten seconds
        seen.append(_sighting(f"I{number}", days=2))
        run.at(10, *seen)

    kinds = [one.message.kind for one in run.said]
    assert kinds == ["begin"] + ["update"] * 9
    gaps = [after.message.at_ms - before.message.at_ms for before, after in zip(run.said, run.said[1:], strict=False)]
    assert min(gaps) >= 60_000


def test_a_step_up_is_told_at_once() -> None:
    run = _Run()
    run.at(1, _sighting("BTCUSDT", "ALERT"))

    told = [run.at(1, _sighting("BTCUSDT", "CRITICAL", 2e6)), run.at(1, _sighting("BTCUSDT", "EXTREME", 3e6))]

    assert [(message.kind, message.level) for messages in told for message in messages] == [
        ("update", "CRITICAL"),
        ("update", "EXTREME"),
    ]


def test_a_member_that_falls_and_rises_within_the_cooldown_is_no_news() -> None:
    run = _Run()
    btc = _sighting("BTCUSDT")
    run.at(1, btc)
    run.calm(120)
    run.at(1, btc)

    assert [one.message.kind for one in run.said] == ["begin"]
    assert run.policy.thread is not None


def test_a_common_high_opens_nothing_once_it_is_learned() -> None:
    run = _Run()
    opened = 0
    for _ in range(21 * 24):  # the same every hour for three weeks
        opened += sum(message.kind == "begin" for message in run.at(1, _sighting("BTCUSDT", days=1.0)))
        run.at(10)
        run.at(3_600 - 11)

    # It opens none after the first few, in which nothing is known yet.
    assert opened <= 3
    assert run.policy.wakes_at_days("BTCUSDT") is not None


def test_while_learning_what_is_critical_whatever_was_seen_opens_a_thread() -> None:
    run = _Run()
    run.at(1, _sighting("A", days=1e9))  # a z that nothing after it exceeds
    run.calm(400)
    seen = replace(_sighting("B", "CRITICAL", 60e6, 0.01), is_learning=True, is_public=True)

    assert [message.kind for message in run.at(1, seen)] == ["begin"]


def test_before_a_return_period_is_known_an_event_that_goes_on_is_no_news() -> None:
    run = _Run()
    seen = Sighting("MARKET", "CRITICAL", 250e6, 9, None, 0.0, is_learning=True, is_public=True)
    for _ in range(300):
        run.at(1, seen)

    assert [one.message.kind for one in run.said] == ["begin"]


def test_muted_instruments_open_nothing() -> None:
    run = _Run(PolicySettings(channels=_LOG, muted=frozenset({"BTCUSDT"})))

    assert run.at(1, _sighting("BTCUSDT")) == []


def test_a_named_instrument_has_a_share_of_its_own() -> None:
    named = _Run(PolicySettings(channels=_LOG, named=frozenset({"BTCUSDT"})), instruments=1_500)
    other = _Run(instruments=1_500)
    seen = _sighting("BTCUSDT", days=20.0)

    assert named.policy.group_size("BTCUSDT") == 1
    assert [message.kind for message in named.at(1, seen)] == ["begin"]
    assert other.at(1, seen) == []


def test_an_event_ends_where_nobody_watches_any_more_and_says_so() -> None:
    run = _Run()
    btc = _sighting("BTCUSDT")
    run.at(1, btc)

    found = [message for _ in range(70) for message in run.at(5, btc, is_watched=False)]

    assert [message.kind for message in found] == ["end"]
    assert "nothing is watched any more" in found[0].text


def test_the_end_says_totals_leader_and_what_the_price_did() -> None:
    run = _Run()
    around = Surroundings({("bybit", "BTCUSDT"): (3e6, 30), ("okx", "ETHUSDT"): (1e6, 10)}, 0.5, ["okx"], 42.0)
    run.at(1, _sighting("MARKET", days=500.0), surroundings=lambda: around, btc_price=100_000.0)
    run.policy.add([_event("okx", "BTCUSDT", 98_000.0, 4e6)])
    run.at(5, btc_price=97_000.0)
    (end,) = run.calm(400, surroundings=lambda: around, btc_price=99_000.0)

    assert (end.usd, end.count, end.venues) == (8e6, 41, {"okx": 5e6, "bybit": 3e6})
    assert "$8M in 41 liquidations" in end.text
    assert "Most of it: BTCUSDT, $7M (88 %)" in end.text
    assert "BTC 100000 to 99000 (-1.00 %), between 97000 and 100000." in end.text
    assert "42 times the usual one" in end.text
    assert "okx 62 % (throttled" in end.text
    assert "Coverage of the last 5 min: 50 %" in end.text


def test_a_message_says_why_it_is_sent_how_often_that_happens_and_how_to_mute() -> None:
    run = _Run(PolicySettings(channels=_LOG, link="http://127.0.0.1:8787/"), instruments=1)

    (begin,) = run.at(1, _sighting("BTCUSDT", "CRITICAL", 12.3e6, 40.0))

    assert begin.title == "CRITICAL: BTCUSDT $12.3M liquidated within 60 s, once in 40 days"
    for said in (
        "9 liquidations",
        "20.0 days watched",
        "its level from $500k",
        "floor $100k",
        "wakes at once in",
        "about 3 times a week",
        f"See http://127.0.0.1:8787/?at={begin.at_ms}",
        "To mute: alerts.muted = ['BTCUSDT']",
    ):
        assert said in begin.text


def test_an_hour_later_is_told_only_if_asked_for() -> None:
    for asked in (True, False):
        run = _Run(PolicySettings(channels=_LOG, follow_up=asked))
        run.at(1, _sighting("BTCUSDT"), btc_price=100.0)
        run.calm(400, btc_price=101.0)
        later = run.at(3_600, btc_price=202.0)

        assert [message.kind for message in later] == ["later"] * asked
        assert not asked or "+100.00 %" in later[0].text


def test_quiet_hours_hold_back_what_is_below_their_level_and_tell_the_number_after() -> None:
    quiet = QuietHours("00:00", "06:00", level="EXTREME")
    run = _Run(PolicySettings(channels=_LOG, quiet=quiet))  # it is midnight

    assert run.at(1, _sighting("BTCUSDT", "CRITICAL")) == []
    (extreme,) = run.at(1, _sighting("BTCUSDT", "EXTREME", 2e6))
    assert extreme.level == "EXTREME"
    run.calm(400)
    (digest,) = run.at(6 * 3_600)
    assert digest.kind == "digest"
    assert digest.text.startswith("1 more market message was not sent here")


def test_an_end_goes_only_where_its_begin_went() -> None:
    run = _Run(PolicySettings(channels=_LOG, quiet=QuietHours("00:00", "00:05")))

    run.at(1, _sighting("BTCUSDT"))
    run.calm(400)

    assert run.said == []


def test_a_channel_gets_no_more_than_its_budget_and_one_digest() -> None:
    channels = {"phone": ChannelSettings("log", messages_per_hour=4), "all": ChannelSettings("log")}
    run = _Run(PolicySettings(channels=channels))
    seen = [_sighting("I0")]
    run.at(1, *seen)
    for number in range(1, 60):
        seen.append(_sighting(f"I{number}", days=2))
        run.at(10, *seen)
    run.calm(7_200)

    phone = [one.message for one in run.said if one.channel == "phone"]
    everything = [one.message for one in run.said if one.channel == "all"]
    held = len(everything) - sum(message.kind != "digest" for message in phone)
    assert _most_in_an_hour(phone) <= 4
    assert [message.title for message in phone if message.kind == "digest"] == [f"{held} more"]


def test_messages_about_ourselves_are_not_held_back_by_market_messages_and_end() -> None:
    run = _Run(PolicySettings(channels={"phone": ChannelSettings("log", messages_per_hour=1)}))
    run.at(1, _sighting("BTCUSDT"))

    said: list[str] = []
    for second in range(200):
        wrong = {"bybit": "idle: connection refused"} if second < 100 else {}
        said += [one.message.title for one in run.policy.look_conditions(_DAY + 1_000 * second, wrong)]

    # One message an hour: the end waits for room, as does every message of that stream.
    assert said == ["bybit: idle: connection refused"]


def test_a_condition_is_told_once_it_has_lasted_and_its_end_too() -> None:
    run = _Run()
    said: list[tuple[int, str]] = []
    for second in range(300):
        wrong = {"bybit": "idle"} if second < 100 or second in {130, 135} else {"okx": "idle"} if second == 200 else {}
        said += [(second, one.message.kind) for one in run.policy.look_conditions(1_000 * second, wrong)]

    assert said == [(30, "trouble"), (195, "well")]


def test_a_restart_in_an_event_neither_tells_it_again_nor_forgets_its_end() -> None:
    run = _Run()
    seen = _sighting("BTCUSDT")
    run.at(1, seen)
    kept = msgspec.json.encode(run.policy.state(run.now_ms))

    run.policy = MessagePolicy(run.settings, msgspec.json.decode(kept, type=PolicyState))
    run.at(5, seen)
    run.calm(400)

    assert [one.message.kind for one in run.said] == ["begin", "end"]


_SCOPES = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "MARKET", BREADTH_SCOPE)
_SEEN = st.dictionaries(
    st.sampled_from(_SCOPES),
    st.tuples(
        st.sampled_from(LEVELS[2:]),
        st.sampled_from([1e4, 1e5, 1e6, 1e7, 1e8]),
        st.sampled_from([0.5, 1.0, 7.0, 30.0, 365.0, 1e4]),
    ),
    max_size=4,
)
_STEPS = st.lists(st.tuples(st.sampled_from([1, 5, 30, 61, 299, 4_000]), _SEEN, st.booleans()), max_size=60)
_Steps = Sequence[tuple[int, dict[str, tuple[Level, float, float]], bool]]


def _scenes(steps: _Steps) -> Iterable[Scene]:
    now_ms = _DAY
    for seconds, seen, is_learning in steps:
        now_ms += 1_000 * seconds
        yield Scene(
            now_ms,
            [
                Sighting(scope, level, highest, 9, days, 20.0, is_learning=is_learning, is_public=is_learning)
                for scope, (level, highest, days) in seen.items()
            ],
            100,
        )
    for _ in range(200):  # three hours in which nothing happens
        now_ms += 60_000
        yield Scene(now_ms, (), 100)


_CHANNELS = {
    "all": ChannelSettings("log", messages_per_hour=1_000),
    "few": ChannelSettings("log", messages_per_hour=3),
    "one": ChannelSettings("log", messages_per_hour=1),
}


def _said(steps: _Steps, restart_at: int | None = None) -> list[tuple[Scene, list[AddressedMessage]]]:
    policy_settings = PolicySettings(21.0, channels=_CHANNELS, follow_up=True)
    policy = MessagePolicy(policy_settings)
    policy.look(Scene(0))
    found = []
    for number, scene in enumerate(_scenes(steps)):
        if number == restart_at:
            state = msgspec.json.decode(msgspec.json.encode(policy.state(scene.at_ms)), type=PolicyState)
            policy = MessagePolicy(policy_settings, state)
        found.append((scene, policy.look(scene)))
    return found


def _most_in_an_hour(messages: Sequence[AlarmMessage]) -> int:
    times = [message.at_ms for message in messages]
    return max((sum(at_ms - HOUR_MS < other <= at_ms for other in times) for at_ms in times), default=0)


@settings(deadline=None, max_examples=60)
@given(_STEPS)
def test_no_message_has_no_cause(steps: _Steps) -> None:
    open_thread = ""
    has_news = False
    for scene, messages in _said(steps):
        has_news |= bool(scene.sightings)
        for message in (one.message for one in messages if one.channel == "all"):
            if message.kind == "begin":
                assert scene.sightings
                assert not open_thread
                open_thread = message.thread
            elif message.kind == "update":
                assert message.thread == open_thread
                assert has_news
            elif message.kind == "end":
                assert message.thread == open_thread
                open_thread = ""
            has_news = False


@settings(deadline=None, max_examples=60)
@given(_STEPS)
def test_no_channel_gets_more_than_its_budget(steps: _Steps) -> None:
    said = [one for _, messages in _said(steps) for one in messages]
    for name, channel in _CHANNELS.items():
        assert _most_in_an_hour([one.message for one in said if one.channel == name]) <= channel.messages_per_hour


@settings(deadline=None, max_examples=60)
@given(_STEPS, st.integers(0, 60))
def test_every_thread_ends_also_over_a_restart(steps: _Steps, restart_at: int) -> None:
    messages = [one.message for _, found in _said(steps, restart_at) for one in found if one.channel == "all"]
    begun = [message.thread for message in messages if message.kind == "begin"]
    ended = [message.thread for message in messages if message.kind == "end"]

    assert begun == ended
    assert len(begun) == len(set(begun))


@settings(deadline=None, max_examples=30)
@given(_STEPS)
def test_the_same_input_gives_the_same_messages(steps: _Steps) -> None:
    first, second = ([one for _, messages in _said(steps) for one in messages] for _ in range(2))

    assert msgspec.json.encode(first) == msgspec.json.encode(second)
    keys = [(one.channel, one.message.key) for one in first]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("budget", [1.0, 21.0])
def test_the_effective_step_is_unknown_before_anything_was_watched(budget: float) -> None:
    policy = MessagePolicy(PolicySettings(budget))

    assert policy.wakes_at_days("BTCUSDT") is None


def _event(venue: str, instrument: str, price: float, usd: float) -> Liquidation:
    return Liquidation(venue, instrument, instrument, "long", price, "fill", usd / price, usd, _DAY)
