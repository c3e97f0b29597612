"""At which address each new connection begins, where a venue has several."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from tests.polling import until

from liqtape.feeds import pool
from liqtape.feeds.connection import Status
from liqtape.feeds.liveness import Liveness
from liqtape.feeds.pool import ConnectionPool
from liqtape.venues.base import Endpoint
from liqtape.venues.limits import Limits

T = 1_790_000_000_000
HOSTS = ["one", "two", "three"]
ENDPOINT, *OTHERS = [Endpoint(f"wss://{host}.example/ws", ("A",), 10.0) for host in HOSTS]


class AddressedConnection:
    """A connection that says where it would have connected."""

    def __init__(self, _venue: Any, endpoint: Endpoint, *, addresses: Sequence[Endpoint], **known: Any) -> None:
        self.endpoint = endpoint
        self.addresses = addresses
        self.ledger = known["ledger"]
        self.last_data_age = 0.0
        self.known_until_ms = T
        self.reconnects = 0
        self.status = Status("connecting", T)
        self._on_state: Callable[[Any, Status], None] = known["on_state"]
        self._ended = asyncio.Event()

    @property
    def hosts(self) -> list[str]:
        return [address.url.split("//")[1].split(".")[0] for address in self.addresses]

    async def run(self) -> None:
        await self._ended.wait()

    async def stop(self) -> None:
        self._ended.set()

    def relieve(self) -> None:
        """Another one takes over."""

    def live(self) -> None:
        self.status = Status("live", T, up_ms=T)
        self._on_state(self, self.status)


def _nothing(*_: object) -> None: ...


@pytest.fixture
async def connections(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ConnectionPool]:
    monkeypatch.setattr(pool, "Connection", AddressedConnection)
    monkeypatch.setattr(pool, "_OVERLAP_SECONDS", 0.0)
    monkeypatch.setattr(pool, "_LOOK_SECONDS", 0.001)
    venue: Any = SimpleNamespace(name="toy", limits=Limits((), ()), alternatives=lambda _: OTHERS)
    liveness = Liveness(_nothing, _nothing, _nothing, _nothing)
    made = ConnectionPool(venue, liveness, _nothing)
    yield made
    await made.stop()


async def hosts_after_a_refresh(connections: ConnectionPool) -> list[str]:
    connections.refresh()
    (incoming,) = connections._incoming
    incoming.live()  # type: ignore[attr-defined]
    await until(lambda: connections.running == [incoming] and not connections._hand_overs)
    hosts: list[str] = incoming.hosts  # type: ignore[attr-defined]
    return hosts


async def test_each_refresh_begins_at_the_next_address_and_comes_round(connections: ConnectionPool) -> None:
    connections.may_move()
    connections.use([ENDPOINT])
    (first,) = connections.running
    first.live()  # type: ignore[attr-defined]

    assert first.hosts == ["one", "two", "three"]  # type: ignore[attr-defined]
    assert await hosts_after_a_refresh(connections) == ["two", "three", "one"]
    assert await hosts_after_a_refresh(connections) == ["three", "one", "two"]
    assert await hosts_after_a_refresh(connections) == ["one", "two", "three"]
    assert await hosts_after_a_refresh(connections) == ["two", "three", "one"]


async def test_without_leave_to_move_there_is_one_address(connections: ConnectionPool) -> None:
    connections.use([ENDPOINT])
    connections.running[0].live()  # type: ignore[attr-defined]

    assert await hosts_after_a_refresh(connections) == ["one"]


async def test_a_refresh_during_a_hand_over_does_not_take_an_address_away(connections: ConnectionPool) -> None:
    connections.may_move()
    connections.use([ENDPOINT])
    connections.running[0].live()  # type: ignore[attr-defined]
    connections.refresh()
    connections.refresh()
    (incoming,) = connections._incoming
    assert incoming.hosts == ["two", "three", "one"]  # type: ignore[attr-defined]
    incoming.live()  # type: ignore[attr-defined]
    await until(lambda: connections.running == [incoming] and not connections._hand_overs)

    assert await hosts_after_a_refresh(connections) == ["three", "one", "two"]
