"""Threads of the simulated process: each runs until it waits, and goes on when its time has come. No two ever overlap.

A strand is a greenlet with the face of `threading.Thread`. What the product's own thread does is done by the product's
own code; only where it would wait, the world goes on.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from chaos.virtual.world import VirtualWorld
from greenlet import getcurrent, greenlet

__all__ = ["Strands"]


class _Waiting:
    """One wait of one strand; what ends it first counts."""

    __slots__ = ("is_over", "is_woken", "strand")

    def __init__(self, strand: greenlet) -> None:
        self.strand = strand
        self.is_over = False
        self.is_woken = False


class Strands:
    """The threads of one process, and what its modules take for `threading` and `sleep`; `end` forgets them all."""

    RLock = staticmethod(threading.RLock)
    Condition = staticmethod(threading.Condition)
    get_ident = staticmethod(threading.get_ident)
    current_thread = staticmethod(threading.current_thread)

    def __init__(self, world: VirtualWorld) -> None:
        self.world = world
        self.is_alive = True
        self.frozen_until_ns = 0
        self._hub = getcurrent()
        self._living: set[greenlet] = set()
        strands = self

        class Thread(_Thread):
            """A thread of this process."""

            def __init__(
                self,
                target: Callable[..., object],
                args: Iterable[Any] = (),
                kwargs: Mapping[str, Any] | None = None,
                *,
                name: str = "",
                daemon: bool | None = None,  # noqa: ARG002 - as threading.Thread has it
            ) -> None:
                super().__init__(strands, lambda: target(*args, **(kwargs or {})), name)

        class Event(_Event):
            """An event of this process."""

            def __init__(self) -> None:
                super().__init__(strands)

        class Lock(_Lock):
            """A lock of this process."""

            def __init__(self) -> None:
                super().__init__(strands)

        self.Thread, self.Event, self.Lock = Thread, Event, Lock

    def begin(self, work: Callable[[], object]) -> None:
        """Let a strand begin now, when whoever computes is done."""
        strand = greenlet(work, self._hub)
        self._living.add(strand)
        self.world.after(0.0, lambda: self._enter(strand))

    def sleep(self, seconds: float) -> None:
        """Let the strand that calls sleep."""
        self.wait([], seconds)

    def wait(self, waiting: list[_Waiting], seconds: float | None) -> bool:
        """Let the strand that calls wait until it is woken, for so long at most; return whether it was woken."""
        strand = getcurrent()
        if strand is self._hub:
            raise RuntimeError("the loop itself would wait here, and everybody with it")
        mine = _Waiting(strand)
        waiting.append(mine)
        if seconds is not None:
            self.world.after(seconds, lambda: self._go_on(mine))
        self._hub.switch()
        if mine in waiting:
            waiting.remove(mine)
        return mine.is_woken

    def wake(self, waiting: list[_Waiting]) -> None:
        """Wake all who wait there."""
        for one in waiting:
            one.is_woken = True
            self.world.after(0.0, lambda one=one: self._go_on(one))  # type: ignore[misc]
        waiting.clear()

    def end(self) -> None:
        """Forget all strands where they are, as a kill does."""
        self.is_alive = False
        self._living.clear()

    def _go_on(self, waiting: _Waiting) -> None:
        if not waiting.is_over:
            waiting.is_over = True
            self._enter(waiting.strand)

    def freeze(self, seconds: float) -> None:
        """Let nobody of the process go on for so long, as a stopped process does not."""
        self.frozen_until_ns = self.world.now_ns + round(seconds * 1e9)

    def _enter(self, strand: greenlet) -> None:
        if self.frozen_until_ns > self.world.now_ns:
            self.world.after((self.frozen_until_ns - self.world.now_ns) / 1e9, lambda: self._enter(strand))
        elif self.is_alive:
            strand.switch()
            if strand.dead:
                self._living.discard(strand)


class _Event:
    def __init__(self, strands: Strands) -> None:
        self._strands = strands
        self._is_set = False
        self._waiting: list[_Waiting] = []

    def is_set(self) -> bool:
        """Return whether it is set."""
        return self._is_set

    def set(self) -> None:
        """Set it, and wake who waits."""
        self._is_set = True
        if self._waiting:
            self._strands.wake(self._waiting)

    def clear(self) -> None:
        """Take it back."""
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, for so long at most."""
        if not self._is_set:
            self._strands.wait(self._waiting, timeout)
        return self._is_set


class _Lock:
    """Who waits for it waits in the world's time: its holder may be a strand that the disk keeps waiting."""

    def __init__(self, strands: Strands) -> None:
        self._strands = strands
        self._is_held = False
        self._waiting: list[_Waiting] = []

    def __enter__(self) -> bool:
        while self._is_held:
            self._strands.wait(self._waiting, None)
        self._is_held = True
        return True

    def __exit__(self, *_: object) -> None:
        self._is_held = False
        if self._waiting:
            self._strands.wake(self._waiting)


class _Thread:
    def __init__(self, strands: Strands, work: Callable[[], object], name: str) -> None:
        self.name = name
        self._strands = strands
        self._work = work
        self._ended = _Event(strands)

    def start(self) -> None:
        """Begin."""
        self._strands.begin(self._run)

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, for so long at most."""
        self._ended.wait(timeout)

    def is_alive(self) -> bool:
        """Return whether it has not ended."""
        return not self._ended.is_set()

    def _run(self) -> None:
        try:
            self._work()
        finally:
            self._ended.set()
