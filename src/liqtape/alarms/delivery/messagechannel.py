"""What a channel is: it sends one message, or says why not."""

from collections.abc import Iterable
from typing import Protocol

from liqtape.alarms.policy.messages import AlarmMessage
from liqtape.errors import LiqtapeError

__all__ = ["DeliveryError", "DeliveryRefused", "MessageChannel"]


class DeliveryError(LiqtapeError):
    """A channel could not send; it is tried again."""


class DeliveryRefused(DeliveryError):
    """A channel will never take this message; it becomes a dead letter."""


class MessageChannel(Protocol):
    """One place messages go to. `send` returns when the other side has the message; it may come again."""

    @property
    def name(self) -> str: ...

    async def send(self, message: AlarmMessage) -> None: ...

    def resume(self, sent: Iterable[AlarmMessage]) -> None:
        """Learn after a start what was sent before, oldest first."""

    async def refresh(self) -> None:
        """Say again what lasts; called about once a minute."""

    async def close(self) -> None: ...
