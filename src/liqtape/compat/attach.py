"""Somebody else's streams: built with our callback or given as objects, run, and ended, without touching their code."""

import asyncio
import contextvars
import inspect
import logging
import threading
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import suppress
from typing import Any

from liqtape.compat.alerts import ROOT

__all__ = ["DONE", "build", "end", "run"]

_STOP_SECONDS = 1.0
_LOOK_SECONDS = 1.0
_THREAD = "wrapped stream"
_OURS = ("callback ", "feed ", "publisher ", "source ", "stop manager", "tick", _THREAD)
"""Names of our own tasks and threads begin so: none of them is a stranger's stream."""

_HOW = (
    "wrap it: give a class or a function with a parameter `callback`, or an object whose `start_monitoring` is an "
    "async iterator; see docs/howto/wrap-a-library.md"
)
_CALLBACKS = ("callback", "on_liquidation", "on_event", "handler", "listener", "cb")
_CALLBACK_WORDS = ("callback", "handler", "listener")
_LOOP_WORDS = frozenset({"create_task", "ensure_future", "get_running_loop", "get_event_loop", "call_soon", "gather"})
_BLOCKING_WORDS = frozenset({"run", "run_forever", "run_until_complete"})

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
    """Return the stream that `given` makes (a class or a function), or is: then it keeps its callback, after ours.

    The callback goes to the parameter that is named for one (`callback`, `on_liquidation`, `handler`, ...), else to
    the first that has no default; `symbols` by name, or first to a provider (`is_provider`), whose events come from
    `start_monitoring`. Raises TypeError, which says how to wrap it, where no parameter takes the callback.
    """
    if not isinstance(given, type) and (hasattr(given, "start") or hasattr(given, "start_monitoring")):
        return _hooked(given, hook)
    name = getattr(given, "__qualname__", type(given).__name__)
    try:
        signature = inspect.signature(given)
    except (TypeError, ValueError):
        raise TypeError(f"{name} does not tell its parameters, so none can be the callback: {_HOW}") from None
    parameters = dict(signature.parameters)
    named: dict[str, Any] = {}
    first: list[Any] = []
    if is_provider and "symbols" not in parameters:
        first = [list(symbols)]
        parameters = dict(list(parameters.items())[1:])
    elif "symbols" in parameters and (is_provider or parameters["symbols"].default is inspect.Parameter.empty):
        named["symbols"] = list(symbols)
    taker = None if _iterates(given) else _callback_parameter(parameters, is_named=is_provider)
    if taker is not None and taker.kind is inspect.Parameter.POSITIONAL_ONLY:
        first.append(hook)
    elif taker is not None:
        named[taker.name] = hook
    elif not _iterates(given) and not is_provider:
        raise TypeError(f"no parameter of {name} is named for a callback, or has no default: {_HOW}")
    try:
        signature.bind(*first, **named)
    except TypeError as error:
        raise TypeError(f"{name} asks for more than a callback ({error}): {_HOW}") from None
    made = given(*first, **named)
    return _hooked(made, hook) if is_provider and taker is None else _runnable(made)


def _callback_parameter(parameters: dict[str, inspect.Parameter], *, is_named: bool) -> inspect.Parameter | None:
    """Return the parameter that is named for a callback; unless it has to be (`is_named`), else one without default."""
    own = [one for one in parameters.values() if one.kind not in {one.VAR_POSITIONAL, one.VAR_KEYWORD}]
    for name in _CALLBACKS:
        if name in parameters and parameters[name] in own:
            return parameters[name]
    for one in own:
        if any(word in one.name for word in _CALLBACK_WORDS) and "error" not in one.name:
            return one
    needed = (one for one in own if one.default is one.empty and one.name != "symbols")
    return None if is_named else next(needed, None)


def _runnable(stream: Any) -> Any:
    if not hasattr(stream, "start") and not hasattr(stream, "start_monitoring"):
        raise TypeError(f"{type(stream).__name__} has neither `start` nor `start_monitoring`: {_HOW}")
    return stream


def _iterates(stream: Any) -> bool:
    """Tell whether `start_monitoring` gives the events, rather than merely starting them."""
    monitoring = getattr(stream, "start_monitoring", None)
    return monitoring is not None and not inspect.iscoroutinefunction(monitoring)


def _hooked(stream: Any, hook: Hook) -> Any:
    if _iterates(stream):
        return stream
    if not hasattr(stream, "callback"):
        raise TypeError(
            f"{type(stream).__name__} has neither a `callback` attribute nor an iterating `start_monitoring`: {_HOW}"
        )
    theirs = stream.callback

    def both(event: Any) -> Any:
        done = hook(event)
        return done if theirs is None else theirs(event)

    stream.callback = both
    return stream


async def run(stream: Any, hook: Hook) -> None:
    """Run a stream until it ends.

    A `start` that returns has ended the stream, unless it left something behind that runs: a thread or a task that was
    not there before, or an attribute `running`; then the end of that is the stream's.
    """
    if _iterates(stream):
        async for event in stream.start_monitoring():
            hook(event)
        return
    threads, tasks = set(threading.enumerate()), asyncio.all_tasks()
    await _called(getattr(stream, "start", None) or stream.start_monitoring)
    left_threads = [one for one in set(threading.enumerate()) - threads if not one.name.startswith(_OURS)]
    left_tasks = [one for one in asyncio.all_tasks() - tasks if not one.get_name().startswith(_OURS)]
    while (  # noqa: ASYNC110 - what is looked at tells nobody
        any(one.is_alive() for one in left_threads)
        or any(not one.done() for one in left_tasks)
        or _says_running(stream)
    ):
        await asyncio.sleep(_LOOK_SECONDS)


def _says_running(stream: Any) -> bool:
    said = (getattr(stream, name, None) for name in ("running", "is_running", "_running", "is_alive"))
    return any(value() is True if callable(value) else value is True for value in said)


async def end(stream: Any) -> None:
    """Stop it; a stop that takes longer than a second is cancelled, and not waited for."""
    stop = getattr(stream, "stop_monitoring", None) or getattr(stream, "stop", None)
    if stop is None:
        return
    stopping = asyncio.ensure_future(_called(stop))
    done, _ = await asyncio.wait([stopping], timeout=_STOP_SECONDS)
    if not done:
        stopping.cancel()
        _log.warning("the stream %s does not stop within %g s; leaving it", type(stream).__name__, _STOP_SECONDS)
        return
    await stopping


async def _called(function: Callable[[], Any]) -> Any:
    """Call `start` or `stop`: in a thread where it is no coroutine function (it may block); await what it returns."""
    if inspect.iscoroutinefunction(function) or _needs_loop(function):
        result = function()
    else:
        try:
            result = await _in_thread(function)
        except RuntimeError as error:
            if "event loop" not in str(error) and "thread-safe" not in str(error):
                raise
            result = function()  # it wants the loop, which it has here only
    return await result if inspect.isawaitable(result) else result


def _needs_loop(function: Callable[[], Any]) -> bool:
    """Tell whether a function makes tasks on the running loop, as far as its own code shows."""
    code = getattr(inspect.unwrap(getattr(function, "__func__", function)), "__code__", None)
    names = frozenset(getattr(code, "co_names", ()))
    return bool(names & _LOOP_WORDS) and not names & _BLOCKING_WORDS


async def _in_thread(function: Callable[[], Any]) -> Any:
    """Call it in a thread of its own; one that never returns ends with the program."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def work() -> None:
        result: Any = None
        failure: Exception | None = None
        try:
            result = function()
        except StopIteration as error:  # no future takes it
            failure = RuntimeError(repr(error))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - handed to who awaits the thread
            failure = RuntimeError(repr(error)) if isinstance(error, SystemExit) else error
        with suppress(RuntimeError):  # the loop may be gone when it returns at last
            loop.call_soon_threadsafe(settle, result, failure)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(work,), name=f"{_THREAD} call", daemon=True).start()
    return await future
