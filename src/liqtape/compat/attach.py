"""Somebody else's streams: built with our callback or given as objects, run, and ended, without touching their code."""

import asyncio
import inspect
import logging
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any

from liqtape.compat.alerts import ROOT

__all__ = ["DONE", "build", "end", "run"]

_STOP_SECONDS = 1.0

_log = logging.getLogger(ROOT)

Hook = Callable[[Any], Any]


class _Done(Coroutine[Any, Any, None]):
    """A coroutine that has nothing left to do: may be awaited, made a task or ignored, any number of times."""

    def send(self, value: Any) -> Any:  # noqa: ARG002 - a coroutine's signature
        raise StopIteration

    def throw(self, *error: Any) -> Any:
        raise error[0]

    def close(self) -> None:
        """Nothing to close."""

    def __await__(self) -> Generator[Any, Any, None]:
        yield from ()


DONE = _Done()
"""What our callback returns: callers that await it and callers that do not are both right."""


def build(given: Any, hook: Hook, symbols: Sequence[str], *, is_provider: bool) -> Any:
    """The stream that `given` makes (a class or a function), or is: then it keeps its callback, ours is called first.

    `callback` and `symbols` are handed over by name where it has arguments so named; otherwise its first argument is
    the callback, or the symbols of a provider (`is_provider`), whose events come from `start_monitoring`.
    """
    if not isinstance(given, type) and (hasattr(given, "start") or hasattr(given, "start_monitoring")):
        return _hooked(given, hook)
    arguments = _arguments(given)
    named: dict[str, Any] = {}
    if "callback" in arguments and not _iterates(given):
        named["callback"] = hook
    if "symbols" in arguments and (is_provider or arguments["symbols"].default is inspect.Parameter.empty):
        named["symbols"] = list(symbols)
    if is_provider:
        made = given(**named) if "symbols" in named else given(list(symbols), **named)
    else:
        made = given(**named) if "callback" in named or _iterates(given) else given(hook, **named)
    return _hooked(made, hook) if is_provider and "callback" not in named else made


def _arguments(given: Any) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(given).parameters)
    except (TypeError, ValueError):
        return {}


def _iterates(stream: Any) -> bool:
    """Whether `start_monitoring` gives the events, rather than merely starting them."""
    monitoring = getattr(stream, "start_monitoring", None)
    return monitoring is not None and not inspect.iscoroutinefunction(monitoring)


def _hooked(stream: Any, hook: Hook) -> Any:
    if _iterates(stream):
        return stream
    if not hasattr(stream, "callback"):
        raise TypeError(
            f"{type(stream).__name__} has neither a `callback` attribute nor an iterating `start_monitoring`: "
            "give the class, or a function that makes the stream from a callback"
        )
    theirs = stream.callback

    def both(event: Any) -> Any:
        done = hook(event)
        return done if theirs is None else theirs(event)

    stream.callback = both
    return stream


async def run(stream: Any, hook: Hook) -> None:
    """A stream's whole life."""
    if _iterates(stream):
        async for event in stream.start_monitoring():
            hook(event)
        return
    begin = getattr(stream, "start", None) or stream.start_monitoring
    await _awaited(begin())


async def end(stream: Any) -> None:
    """Stop it; a stop that takes longer than a second is cancelled, and not waited for."""
    stop = getattr(stream, "stop_monitoring", None) or getattr(stream, "stop", None)
    if stop is None:
        return
    stopping = asyncio.ensure_future(_awaited(stop()))
    done, _ = await asyncio.wait([stopping], timeout=_STOP_SECONDS)
    if not done:
        stopping.cancel()
        _log.warning("the stream %s does not stop within %g s; leaving it", type(stream).__name__, _STOP_SECONDS)
        return
    await stopping


async def _awaited(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result
