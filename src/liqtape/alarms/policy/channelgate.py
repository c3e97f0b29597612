"""What one channel gets: so many messages an hour, nothing small in quiet hours, a number of what it did not get."""

from msgspec import Struct

from liqtape.alarms.policy.messages import AlarmMessage
from liqtape.events import LEVELS

__all__ = ["HOUR_MS", "ChannelGate", "GateState"]

HOUR_MS = 3_600_000

_FOR_UPDATES = 0.75  # of an hour's messages: what is left is for beginnings and ends


class GateState(Struct):
    """What is kept of a channel: when it was sent what it was sent within the hour, and what was held back since."""

    sent_ms: list[int] = []
    held: int = 0
    held_since_ms: int = 0


class ChannelGate:
    """The budget of a channel for one stream of messages.

    Within any hour it lets through `per_hour` at most, the digest included, which is due when there is room again and
    nobody sleeps.
    """

    def __init__(self, per_hour: int, state: GateState | None = None) -> None:
        self.per_hour = per_hour
        self.state = GateState() if state is None else state

    def lets(self, message: AlarmMessage, now_ms: int, quiet_below: str | None = None) -> bool:
        """Whether the message goes out now; one that does not is counted."""
        sent = self._within_hour(now_ms)
        is_quiet = quiet_below is not None and LEVELS.index(message.level) < LEVELS.index(quiet_below)
        room = self.per_hour if message.kind != "update" else max(1, int(_FOR_UPDATES * self.per_hour))
        if is_quiet or len(sent) >= room:
            if not self.state.held:
                self.state.held_since_ms = now_ms
            self.state.held += 1
            return False
        sent.append(now_ms)
        return True

    def take_digest(self, now_ms: int, *, is_quiet: bool) -> int:
        """Return how many messages were held back, if it is time to tell; else 0."""
        state = self.state
        if not state.held or is_quiet:
            return 0
        sent = self._within_hour(now_ms)
        if len(sent) >= self.per_hour or now_ms - state.held_since_ms < HOUR_MS:
            return 0
        held, state.held = state.held, 0
        sent.append(now_ms)
        return held

    def _within_hour(self, now_ms: int) -> list[int]:
        state = self.state
        state.sent_ms = [at_ms for at_ms in state.sent_ms if at_ms > now_ms - HOUR_MS]
        return state.sent_ms
