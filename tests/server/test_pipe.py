"""Messages over a connection that breaks: each arrives once, in order, and none is lost."""

import asyncio
import random

import msgspec
import pytest
from fakes import in_loop

from easymlnb_server.placement.hub import pipe
from easymlnb_server.placement.hub.pipe import Pipe


class Line:
    """A connection between two pipes that carries so many messages each way, then breaks."""

    def __init__(self, near: Pipe, far: Pipe, lasts: int) -> None:
        self.taken: dict[Pipe, list[bytes]] = {near: [], far: []}
        self._left = {near: lasts, far: lasts}

    async def write(self, to: Pipe, data: bytes) -> None:
        await asyncio.sleep(0)
        if self._left[to] == 0:
            raise ConnectionError
        self._left[to] -= 1
        frame = to.take(data)
        if frame is not None:
            self.taken[to].append(frame.parts[0])


async def connect(near: Pipe, far: Pipe, lasts: int) -> dict[Pipe, list[bytes]]:
    line = Line(near, far, lasts)
    ways = [
        asyncio.create_task(near.run(lambda data: line.write(far, data))),
        asyncio.create_task(far.run(lambda data: line.write(near, data))),
    ]
    await asyncio.wait(ways, timeout=0.2, return_when=asyncio.FIRST_EXCEPTION)
    for way in ways:
        way.cancel()
    await asyncio.gather(*ways, return_exceptions=True)
    return line.taken


@pytest.mark.parametrize("seed", range(5))
@in_loop
async def test_every_message_arrives_once_and_in_order(seed: int) -> None:
    chance = random.Random(seed)
    near, far = Pipe(), Pipe()
    sent: dict[Pipe, list[bytes]] = {near: [], far: []}
    came: dict[Pipe, list[bytes]] = {near: [], far: []}
    for lasts in [*(chance.randrange(12) for _ in range(40)), 10_000]:
        for end, other in ((near, far), (far, near)):
            for _ in range(chance.randrange(6)):
                content = str(len(sent[other])).encode()
                sent[other].append(content)
                await end.put("shell", [content])
        for end, taken in (await connect(near, far, lasts)).items():
            came[end] += taken
    assert came == sent


@in_loop
async def test_sender_waits_while_too_much_is_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipe, "LIMIT", 1000)
    near, far = Pipe(), Pipe()
    waiting = asyncio.create_task(near.put("iopub", [b"x" * 2000]))
    await asyncio.sleep(0)
    assert not waiting.done()
    await far.put("shell", [b"answer"])
    await connect(near, far, 10)
    await connect(near, far, 10)  # what was taken is told at the latest on the next connection
    await asyncio.wait_for(waiting, 5)


def test_what_is_no_frame_is_refused() -> None:
    async def take() -> None:
        with pytest.raises(msgspec.MsgspecError):
            Pipe().take(b"nonsense")

    asyncio.run(take())
