"""What a person is told of the simulated market, by the bundled days: a cascade is one thread, a calm market none."""

import pytest

from liqtape.alarms.policy.messagepolicy import MessagePolicy, PolicySettings, PolicyState
from liqtape.alarms.policy.messages import AlarmMessage
from liqtape.alarms.policy.scenes import scene_of
from liqtape.alarmsettings import ChannelSettings
from liqtape.cli.warmstart import warm_start
from liqtape.engine import VelocityEngine
from liqtape.engine.levels.returnperiods import ReturnPeriods
from liqtape.events import Liquidation
from liqtape.simulator import instrument_of, micro_usd_of
from liqtape.simulator.days import printed
from liqtape.simulator.dialects import DIALECTS
from liqtape.simulator.listings import LISTINGS
from liqtape.simulator.scenario import scenario
from liqtape.venues import hyperliquid


def messages_of(name: str, seed: int, seconds: int) -> list[AlarmMessage]:
    """Messages of a scenario's first seconds, looked at each second and at each change of a level."""
    warm = warm_start()
    levels = ReturnPeriods()
    levels.restore(warm.states)
    engine = VelocityEngine(rule=levels)
    for item in LISTINGS:
        engine.lists_instrument(item.venue, instrument_of(item.venue, item.symbol))
    for venue in DIALECTS:
        engine.feed_up(venue, 0)
    channels = {"log": ChannelSettings("log", messages_per_hour=1_000)}
    policy = MessagePolicy(PolicySettings(channels=channels), PolicyState(warm.messages))
    found: list[AlarmMessage] = []
    second_ms = 0
    for row in printed(scenario(name), seed, 1_000 * seconds, {hyperliquid.name: hyperliquid.watch_list}):
        while row.event_ms >= second_ms + 1_000:
            second_ms += 1_000
            engine.tick(second_ms)
            found += [one.message for one in policy.look(scene_of(engine, second_ms))]
        instrument = instrument_of(row.venue, row.symbol)
        usd = micro_usd_of(row.venue, row.symbol, row.price, row.size) / 1e6
        event = Liquidation(row.venue, instrument, row.symbol, row.side, 1.0, "bankruptcy", None, usd, row.event_ms)
        policy.add([event])
        engine.add(event)
        engine.look([(row.venue, instrument)], row.event_ms)
        if levels.has_changed:
            levels.take_changed()
            found += [one.message for one in policy.look(scene_of(engine, row.event_ms))]
    return found


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_cascade_of_60_s_is_one_thread_of_at_most_four_messages(seed: int) -> None:
    messages = messages_of("cascade", seed, 60)

    assert [message.kind for message in messages][:1] == ["begin"]
    assert len({message.thread for message in messages}) == 1
    assert len(messages) <= 4
    assert messages[-1].level == "EXTREME"


@pytest.mark.parametrize("seed", range(1, 6))
def test_ten_minutes_of_a_calm_market_tell_nobody(seed: int) -> None:
    assert messages_of("calm", seed, 600) == []


def test_the_same_market_gives_the_same_messages() -> None:
    assert messages_of("cascade", 1, 60) == messages_of("cascade", 1, 60)
