"""Background loops survive exceptions and end with their owner."""

import asyncio

import pytest

from easymlnb_server import supervisor
from easymlnb_server.supervisor import Supervisor


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE", 0.001)


async def test_a_loop_runs_again_after_an_exception(caplog):
    made, ran, done = Supervisor(), [], asyncio.Event()

    async def work():
        ran.append(len(ran))
        if len(ran) < 4:
            raise RuntimeError("the database is away")
        done.set()

    made.every("sweep", 3600, work)
    await asyncio.wait_for(done.wait(), 30)
    assert made.failures == {"sweep": 3}
    assert "'sweep' failed" in caplog.text
    await made.close()
    assert len(ran) == 4


async def test_close_ends_all_work():
    made, ended = Supervisor(), []

    async def work():
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(1)

    for name in ("a", "b"):
        made.run(name, work)
    await asyncio.sleep(0)
    await made.close()
    assert ended == [1, 1]


async def test_work_that_returns_is_not_repeated():
    made, ran = Supervisor(), []

    async def work():
        ran.append(1)

    made.run("once", work)
    for _ in range(10):
        await asyncio.sleep(0.002)
    assert ran == [1]
    await made.close()
