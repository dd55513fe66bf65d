"""Turns at starting: a few at a time, and nobody keeps others waiting for long."""

import asyncio

from easymlnb_server.workers.start_limiter import StartLimiter, start_slot


async def test_whose_starts_hang_keeps_nobody_else_waiting() -> None:
    gates = StartLimiter(1, shared=False)
    async with asyncio.timeout(20), start_slot(gates.for_owner("alice")):
        assert gates.for_owner("alice").locked()
        async with start_slot(gates.for_owner("bob")):
            pass
    assert not gates.for_owner("alice").locked()


async def test_on_one_machine_all_take_turns() -> None:
    gates = StartLimiter(1, shared=True)
    async with start_slot(gates.for_owner("alice")):
        assert gates.for_owner("bob").locked()


async def test_who_hangs_gives_the_turn_back_once() -> None:
    gate = StartLimiter(1, shared=True).for_owner("")
    async with asyncio.timeout(20), start_slot(gate, seconds=0.01):
        async with start_slot(gate):
            pass
        assert not gate.locked()
    await gate.acquire()
    assert gate.locked()
