"""The functions and iterators of a program that hear what a run does, each behind a queue of its own."""

from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakSet

from liqtape.pipeline.listener import Listener, Listeners
from liqtape.sinks.callback import CallbackQueue
from liqtape.sinks.stream import Subscription

__all__ = ["Audience"]

T = TypeVar("T")


class Audience:
    """Lets functions and iterators in among the listeners, and ends them; `callbacks` are the queues of functions."""

    def __init__(self, listeners: Listeners) -> None:
        self.callbacks: list[CallbackQueue[Any]] = []
        self._listeners = listeners
        self._subscriptions: WeakSet[Subscription[Any]] = WeakSet()
        self._is_running = self._is_over = False

    def start(self) -> None:
        """Begin calling."""
        self._is_running = True
        for queue in self.callbacks:
            queue.start()

    def stop(self) -> None:
        """Let every iterator come to its end, and each that is asked for from now on."""
        self._is_running, self._is_over = False, True
        for subscription in list(self._subscriptions):
            subscription.end()

    def add(self, queue: CallbackQueue[Any]) -> None:
        """Start, watch and stop this queue with the others; the caller connects its `offer`."""
        self.callbacks.append(queue)
        if self._is_running:
            queue.start()

    def call(
        self, callback: Callable[[T], object], name: str, hearing: Callable[[Callable[[T], object]], Listener]
    ) -> CallbackQueue[T]:
        """Call a function with everything of the kind that `hearing` makes a listener of."""
        queue: CallbackQueue[T] = CallbackQueue(callback, name)
        self.add(queue)
        self._listeners.add(hearing(queue.offer))
        return queue

    def subscribe(self, hearing: Callable[[Callable[[T], object]], Listener]) -> Subscription[T]:
        """Return an iterator of everything of that kind from now on."""
        subscription: Subscription[T] = Subscription(lambda offer: self._listeners.join(hearing(offer)))
        self._subscriptions.add(subscription)
        if self._is_over:
            subscription.end()
        return subscription
