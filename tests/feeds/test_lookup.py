"""A resolver that hangs delays nobody else."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from liqtape.feeds.lookup import OwnThreadResolver, look_up


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """`hang*.example` is asked for until the test is over; other names are 127.0.0.1."""
    asked: list[str] = []
    over = threading.Event()
    numeric = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, family: int = 0, kind: int = 0, *, flags: int = 0) -> Any:
        if flags & socket.AI_NUMERICHOST:
            return numeric(host, port, family, kind, flags=flags)
        asked.append(host)
        if host.startswith("hang"):
            over.wait(30)
            raise socket.gaierror("given up")
        if host == "nowhere.example":
            raise socket.gaierror("unknown")
        return numeric("127.0.0.1", port, family, kind)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield asked
    over.set()


async def test_names_that_hang_delay_no_other(hanging: list[str]) -> None:
    stuck = [asyncio.create_task(look_up(f"hang{i}.example", 443)) for i in range(40)]
    stuck += [asyncio.create_task(look_up("hang0.example", 443)) for _ in range(10)]
    await asyncio.sleep(0)

    found = await asyncio.wait_for(look_up("fine.example", 443), 20)
    assert found[0][4][:2] == ("127.0.0.1", 443)
    assert hanging.count("hang0.example") == 1
    assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 20) == "free"  # the shared threads
    for task in stuck:
        task.cancel()
    await asyncio.gather(*stuck, return_exceptions=True)
    again = asyncio.create_task(look_up("hang0.example", 443))
    await asyncio.sleep(0)
    assert hanging.count("hang0.example") == 1  # still the first question
    again.cancel()


async def test_what_is_not_found_is_said_and_asked_for_again(hanging: list[str]) -> None:
    for _ in range(2):
        with pytest.raises(socket.gaierror, match="unknown"):
            await look_up("nowhere.example", 443)
    assert hanging.count("nowhere.example") == 2


async def test_an_address_needs_no_question(hanging: list[str]) -> None:
    assert (await look_up("127.0.0.1", 80))[0][4][:2] == ("127.0.0.1", 80)
    assert (await look_up("::1", 80))[0][0] is socket.AF_INET6
    assert hanging == []


async def test_the_rest_client_asks_the_same_way(hanging: list[str]) -> None:
    found = await OwnThreadResolver().resolve("fine.example", 443)
    assert [(one["host"], one["port"], one["hostname"]) for one in found] == [("127.0.0.1", 443, "fine.example")]
    assert hanging == ["fine.example"]
