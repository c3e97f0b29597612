"""An awaitable, step by step: between two steps the loop belongs to others."""

import time
from collections.abc import Awaitable, Callable, Generator
from typing import Any

__all__ = ["BLOCKING_SECONDS", "EagerStep"]

BLOCKING_SECONDS = 0.1
"""A step that takes longer keeps everybody else waiting."""


class EagerStep:
    """Awaits like the awaitable it wraps; `blocked` is told of each step that kept the loop for too many seconds.

    Its first step may be taken before, by `begin`, outside of the task that awaits the rest.
    """

    def __init__(self, awaitable: Awaitable[Any], blocked: Callable[[float], None]) -> None:
        self._blocked = blocked
        self._steps = awaitable.__await__()
        self._yielded: Any = None
        self._raised: BaseException | None = None
        self._interruption: BaseException | None = None

    def begin(self) -> bool:
        """Take the first step; True if that was all, else the rest must be awaited, and raises what this step did."""
        try:
            self._yielded = self._step(None)
        except StopIteration:
            return True
        except BaseException as exc:  # noqa: BLE001 - the caller of this step is not who waits for the outcome
            self._raised = exc
        return False

    def interrupt(self, error: BaseException) -> None:
        """Raise this in what waits since the first step."""
        self._interruption = error

    def __await__(self) -> Generator[Any, Any, None]:
        if self._raised is not None:
            raise self._raised
        error = self._interruption
        while True:
            if error is None:
                try:
                    yield self._yielded
                except BaseException as exc:  # noqa: BLE001 - whatever comes in is the inner coroutine's to see
                    error = exc
            try:
                self._yielded = self._step(error)
            except StopIteration:
                return
            error = None

    def _step(self, error: BaseException | None) -> Any:
        began = time.perf_counter()
        try:
            # `__await__` may give any iterator; only a generator has throw().
            return next(self._steps) if error is None else _thrown(self._steps, error)
        finally:
            took = time.perf_counter() - began
            if took > BLOCKING_SECONDS:
                self._blocked(took)


def _thrown(steps: Any, error: BaseException) -> Any:
    if not hasattr(steps, "throw"):
        raise error
    return steps.throw(error)
