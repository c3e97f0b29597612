"""Channels that are no HTTP of ours: the log, Redis pub/sub, a function of the user's, and what apprise knows."""

import asyncio
import importlib
import inspect
import logging
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from liqtape.alarms.delivery.messagechannel import DeliveryError
from liqtape.alarms.policy.messages import AlarmMessage
from liqtape.errors import ConfigurationError, MissingExtra
from liqtape.redisreplies import FlatParser
from liqtape.sanitize import sanitize

__all__ = ["MESSAGES", "AppriseChannel", "FunctionChannel", "LogChannel", "RedisChannel"]

MESSAGES = "liqtape:messages"
"""The channel that Redis publishes messages on, unless `target` names another."""

_REDIS_SECONDS = 5.0
_LONGEST_LINE = 1_000

_log = logging.getLogger("liqtape.alarms")


class _Stateless:
    """A channel that has nothing to say again."""

    def __init__(self, name: str) -> None:
        self.name = name

    def resume(self, sent: Iterable[AlarmMessage]) -> None:
        pass

    async def refresh(self) -> None:
        pass

    async def close(self) -> None:
        pass


class LogChannel(_Stateless):
    """One line on the logger `liqtape.alarms`."""

    async def send(self, message: AlarmMessage) -> None:
        _log.warning("%s %s", message.thread or message.kind, sanitize(message.title, _LONGEST_LINE))


class RedisChannel(_Stateless):
    """Publishes each message as JSON."""

    def __init__(self, name: str, url: str, target: str = "") -> None:
        super().__init__(name)
        self._target = target or MESSAGES
        try:
            self._client: Redis = Redis.from_url(
                url, socket_timeout=_REDIS_SECONDS, socket_connect_timeout=_REDIS_SECONDS, protocol=2
            )
            if self._client.connection_pool.connection_kwargs.get("protocol") == 2:  # else the URL says so
                self._client.connection_pool.connection_kwargs["parser_class"] = FlatParser
        except ValueError as error:
            raise ConfigurationError(f"alerts.channels.{name}: {error}") from error

    async def send(self, message: AlarmMessage) -> None:
        try:
            await self._client.publish(self._target, msgspec.json.encode(message))
        except (RedisError, OSError, TimeoutError) as error:
            raise DeliveryError(f"Redis: {error}") from error

    async def close(self) -> None:
        await self._client.aclose()


class FunctionChannel(_Stateless):
    """Calls a function with each message; one that raises is called again later."""

    def __init__(self, name: str, target: str) -> None:
        super().__init__(name)
        module, _, function = target.partition(":")
        try:
            self._function: Callable[[AlarmMessage], Any] = getattr(importlib.import_module(module), function)
        except (ImportError, AttributeError) as error:
            raise ConfigurationError(f"alerts.channels.{name}: cannot import {target}: {error}") from error
        if not callable(self._function):
            raise ConfigurationError(f"alerts.channels.{name}: {target} is no function")

    async def send(self, message: AlarmMessage) -> None:
        try:
            if inspect.iscoroutinefunction(self._function):
                await self._function(message)
                return
            result = await asyncio.to_thread(self._function, message)
            if inspect.isawaitable(result):
                await result
        except (Exception, SystemExit) as error:
            raise DeliveryError(f"{type(error).__name__}: {error}") from error


class AppriseChannel(_Stateless):
    """Sends through apprise: mail, chat, telephone; extra `alerts`."""

    def __init__(self, name: str, url: str) -> None:
        super().__init__(name)
        try:
            import apprise
        except ModuleNotFoundError as error:
            raise MissingExtra(f"alerts.channels.{name}", "alerts") from error
        self._apprise = apprise.Apprise()
        if not self._apprise.add(url):
            raise ConfigurationError(f"alerts.channels.{name}: apprise does not know an address like this")

    async def send(self, message: AlarmMessage) -> None:
        kind = {"end": "success", "well": "success", "test": "info", "digest": "info"}.get(message.kind, "warning")
        # In a thread: what it sends by blocks.
        done = await asyncio.to_thread(self._notify, message, kind)
        if not done:
            raise DeliveryError("apprise could not send; with -v its log says why")

    def _notify(self, message: AlarmMessage, kind: str) -> bool:
        return bool(self._apprise.notify(title=message.title, body=message.text, notify_type=kind))
