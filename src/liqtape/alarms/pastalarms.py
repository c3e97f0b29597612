"""What a past would have sent: its seconds through the policy, and nothing through a channel."""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from liqtape.alarms.policy.channelgate import HOUR_MS
from liqtape.alarms.policy.messagepolicy import ANY_INSTRUMENT, MessagePolicy, PolicySettings
from liqtape.alarms.policy.messages import AddressedMessage
from liqtape.alarms.policy.scenes import breadth_of, rows_of, scene_of
from liqtape.alarms.policy.sightings import Scene
from liqtape.engine.levels.episodes import DAY_MS
from liqtape.engine.velocity import MARKET, VelocityEngine
from liqtape.events import Liquidation

__all__ = ["AlarmReplay", "ChannelTotals", "ReplayTotals"]


class ChannelTotals(Struct, frozen=True):
    """What one channel would have got, beside its budget of an hour."""

    messages: int
    most_in_an_hour: int
    messages_per_hour: int


class ReplayTotals(Struct, frozen=True):
    """Threads of a past beside the budget; `expected` is what the budget allows in `days` of watching."""

    days: float
    threads: int
    budget_per_week: float
    expected: float
    market_wakes_at_days: float | None
    instrument_wakes_at_days: float | None
    channels: Mapping[str, ChannelTotals]


class AlarmReplay:
    """Takes the seconds of a replay in order; `messages` is all that would have been sent."""

    def __init__(self, settings: PolicySettings, engine: VelocityEngine) -> None:
        self.messages: list[AddressedMessage] = []
        self._policy = MessagePolicy(settings)
        self._settings, self._engine = settings, engine
        self._last_ms = 0

    def step(self, now_ms: int, events: Sequence[Liquidation], at: Mapping[str, int] | None = None) -> None:
        """Take a second of the grid, after the engine took it."""
        self._last_ms = now_ms
        due_ms = self._policy.due_ms()
        if due_ms is not None and due_ms < now_ms:  # seconds in which nothing is left to tell are not on the grid
            self.messages += self._policy.look(Scene(due_ms))
        self._policy.add(events)
        self.messages += self._policy.look(scene_of(self._engine, now_ms, at))
        if self._settings.rules:
            active = {event.instrument for event in events}
            rows = rows_of(self._engine, now_ms, at)
            self.messages += self._policy.look_rules(now_ms, active, rows, breadth_of(self._engine, now_ms))

    def finish(self) -> None:
        """End the event that is open."""
        due_ms = self._policy.due_ms()
        if due_ms is not None:
            self.messages += self._policy.finish(scene_of(self._engine, max(due_ms, self._last_ms)))

    def totals(self) -> ReplayTotals:
        """Return what was sent beside the budget."""
        days = self._policy.budget.watched_ms(self._last_ms) / DAY_MS
        channels = {}
        for name, channel in self._settings.channels.items():
            times = [one.message.at_ms for one in self.messages if one.channel == name]
            channels[name] = ChannelTotals(len(times), _most_in_an_hour(times), channel.messages_per_hour)
        policy = self._policy
        return ReplayTotals(
            round(days, 4),
            policy.threads_total,
            self._settings.budget_per_week,
            round(self._settings.budget_per_week * days / 7, 3),
            policy.wakes_at_days(MARKET),
            policy.wakes_at_days(ANY_INSTRUMENT),
            channels,
        )


def _most_in_an_hour(times: Iterable[int]) -> int:
    found = sorted(times)
    most = first = 0
    for number, at_ms in enumerate(found):
        while found[first] <= at_ms - HOUR_MS:
            first += 1
        most = max(most, number - first + 1)
    return most
