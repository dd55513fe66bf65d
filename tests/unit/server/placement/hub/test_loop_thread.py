"""The loop of its own that kernels on nodes are carried by."""

import asyncio

import pytest

from easymlnb_server.placement.hub.loop_thread import run_in_loop


async def test_what_comes_of_it_comes_back() -> None:
    async def answer() -> tuple[int, bool]:
        return 42, asyncio.get_running_loop() is here

    async def fail() -> None:
        raise ValueError("no")

    async def give_up() -> None:
        raise asyncio.CancelledError

    here = asyncio.get_running_loop()
    assert await run_in_loop(answer()) == (42, False)
    with pytest.raises(ValueError, match="no"):
        await run_in_loop(fail())
    with pytest.raises(asyncio.CancelledError):
        await run_in_loop(give_up())


async def test_whoever_waits_no_more_waits_for_its_end() -> None:
    said: list[str] = []

    async def long() -> None:
        said.append("begun")
        try:
            await asyncio.sleep(600)
        finally:
            await asyncio.sleep(0.02)
            said.append("cleared")

    waiting = asyncio.create_task(run_in_loop(long()))
    async with asyncio.timeout(20):
        while not said:  # noqa: ASYNC110 - another thread says it
            await asyncio.sleep(0.005)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert said == ["begun", "cleared"]


async def test_what_is_cancelled_before_it_began_never_does() -> None:
    said: list[str] = []

    async def quick() -> None:
        said.append("begun")
        await asyncio.sleep(600)

    waiting = asyncio.create_task(run_in_loop(quick()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
