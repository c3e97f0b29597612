"""Who gets a message: the channels of its stream that were told of its beginning, within their budgets."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from liqtape.alarms.policy.channelgate import ChannelGate, GateState
from liqtape.alarms.policy.messages import AddressedMessage, AlarmMessage
from liqtape.alarmsettings import ChannelSettings, QuietHours

__all__ = ["Addressing", "AddressingState"]

_FOLLOWS = frozenset({"end", "well", "later"})
"""Told only where the beginning was."""

_LASTS = frozenset({"end", "well"})
_UNLIMITED = frozenset({"alertmanager"})  # it is told states, and has a policy of its own


class AddressingState(Struct, frozen=True):
    """What outlives a restart: the budgets of channels by `channel/stream`, and who was told of which thread."""

    gates: dict[str, GateState] = {}
    told: dict[str, list[str]] = {}


class Addressing:
    """Channels with their budgets and quiet hours. What was held back is told as a number when there is room again."""

    def __init__(
        self,
        channels: Mapping[str, ChannelSettings],
        quiet: QuietHours,
        state: AddressingState,
        minute_of_day: Callable[[int], int],
        link: str,
    ) -> None:
        self._channels = channels
        self._quiet = quiet
        self._minute_of_day = minute_of_day
        self._link = link
        self._told = {thread: list(names) for thread, names in state.told.items()}
        self._gates = {
            f"{name}/{stream}": ChannelGate(channel.messages_per_hour, state.gates.get(f"{name}/{stream}"))
            for name, channel in channels.items()
            for stream in channel.streams
        }

    def address(
        self, messages: Iterable[AlarmMessage], now_ms: int, only: Sequence[str] | None = None
    ) -> list[AddressedMessage]:
        """Return the messages with the channels that get them; `only` restricts these."""
        found: list[AddressedMessage] = []
        for message in messages:
            told = self._told.setdefault(message.thread, []) if message.thread else []
            for name, channel in self._channels.items():
                if message.stream not in channel.streams or (only is not None and name not in only):
                    continue
                if message.kind in _FOLLOWS and name not in told:
                    continue
                if channel.kind in _UNLIMITED or self._lets(name, message, now_ms):
                    found.append(AddressedMessage(name, message))
                    if name not in told:
                        told.append(name)
        return found

    def forget(self, thread: str) -> None:
        """Forget who was told of a thread that is over."""
        self._told.pop(thread, None)

    def digests(self, now_ms: int) -> list[AddressedMessage]:
        """Return how many messages channels did not get, where there is room to tell."""
        found = []
        for name, gate in self._gates.items():
            channel, _, stream = name.rpartition("/")
            held = gate.take_digest(now_ms, is_quiet=stream == "market" and self._is_quiet(now_ms))
            if held:
                see = f", see {self._link}" if self._link else ""
                many = "s were" if held > 1 else " was"
                text = f"{held} more {stream} message{many} not sent here{see}"
                message = AlarmMessage(
                    f"digest-{name}-{now_ms}/1",
                    "digest",
                    "market" if stream == "market" else "service",
                    "NONE",
                    now_ms,
                    f"{held} more",
                    text,
                    link=self._link,
                )
                found.append(AddressedMessage(channel, message))
        return found

    def state(self) -> AddressingState:
        """Return what outlives a restart."""
        gates = {name: gate.state for name, gate in self._gates.items() if gate.state.sent_ms or gate.state.held}
        return AddressingState(gates, {thread: list(names) for thread, names in self._told.items()})

    def _is_quiet(self, now_ms: int) -> bool:
        return self._quiet.holds(self._minute_of_day(now_ms))

    def _lets(self, name: str, message: AlarmMessage, now_ms: int) -> bool:
        quiet_below = None
        if message.stream == "market" and self._is_quiet(now_ms):
            quiet_below = self._quiet.level
        return self._gates[f"{name}/{message.stream}"].lets(message, now_ms, quiet_below)
