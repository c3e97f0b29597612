# ruff: noqa: ASYNC251 - steps that block are what is proved here
import asyncio
import time

import pytest

from liqtape.sinks.eagerstep import BLOCKING_SECONDS, EagerStep


async def test_first_step_is_taken_at_once_and_the_rest_when_awaited() -> None:
    seen: list[str] = []

    async def work() -> None:
        seen.append("first")
        await asyncio.sleep(0)
        seen.append("rest")

    steps = EagerStep(work(), lambda _: None)

    assert not steps.begin()
    assert seen == ["first"]
    await steps
    assert seen == ["first", "rest"]


async def test_what_ends_in_its_first_step_need_not_be_awaited() -> None:
    async def work() -> None:
        """Over at once."""

    assert EagerStep(work(), lambda _: None).begin()


async def test_error_of_the_first_step_comes_out_of_the_await() -> None:
    async def fail() -> None:
        raise SystemExit(3)

    steps = EagerStep(fail(), lambda _: None)

    assert not steps.begin()
    with pytest.raises(SystemExit):
        await steps


async def test_interruption_replaces_what_is_waited_for() -> None:
    seen: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except KeyError:
            seen.append("interrupted")
            await asyncio.sleep(0)
        seen.append("rest")

    steps = EagerStep(work(), lambda _: None)
    steps.begin()
    steps.interrupt(KeyError())
    await steps

    assert seen == ["interrupted", "rest"]


async def test_each_step_that_blocks_is_told() -> None:
    told: list[float] = []

    async def work() -> None:
        time.sleep(1.1 * BLOCKING_SECONDS)
        await asyncio.sleep(0)
        time.sleep(1.1 * BLOCKING_SECONDS)
        await asyncio.sleep(1.1 * BLOCKING_SECONDS)

    steps = EagerStep(work(), told.append)
    steps.begin()
    await steps

    assert len(told) == 2
    assert min(told) > BLOCKING_SECONDS
