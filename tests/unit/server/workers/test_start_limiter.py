"""Turns at starting: a few at a time, and nobody keeps others waiting for long."""

import asyncio

from easymlnb_server.workers.start_limiter import StartLimiter, turn
from support.fakes import in_loop


@in_loop
async def test_whose_starts_hang_keeps_nobody_else_waiting() -> None:
    gates = StartLimiter(1, one=False)
    async with asyncio.timeout(20), turn(gates.of("alice")):
        assert gates.of("alice").locked()
        async with turn(gates.of("bob")):
            pass
    assert not gates.of("alice").locked()


@in_loop
async def test_on_one_machine_all_take_turns() -> None:
    gates = StartLimiter(1, one=True)
    async with turn(gates.of("alice")):
        assert gates.of("bob").locked()


@in_loop
async def test_who_hangs_gives_the_turn_back_once() -> None:
    gate = StartLimiter(1, one=True).of("")
    async with asyncio.timeout(20), turn(gate, seconds=0.01):
        async with turn(gate):
            pass
        assert not gate.locked()
    await gate.acquire()
    assert gate.locked()
