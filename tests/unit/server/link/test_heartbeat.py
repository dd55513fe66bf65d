"""Kernels that fall silent: given up when idle, left to their call's deadline when busy.

And what becomes of their calls when a link breaks.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from websockets.asyncio.client import ClientConnection, connect

from easymlnb.contract.worker_protocol import Call, Hello, Register, pack, version_headers
from easymlnb_server.context import STATE
from easymlnb_server.link import handlers as module
from easymlnb_server.services.live import LiveServices
from easymlnb_server.workers.registration import WorkerRegistration
from support.fakes import FakeLink, spec, until

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT", 0.2)


@asynccontextmanager
async def dialled(**passed_on: str) -> AsyncIterator[tuple[LiveServices, ClientConnection]]:
    """A link handler in a server that has nothing else, and a kernel that offers a service."""
    table = LiveServices(10)
    spool = SimpleNamespace(open_file_share=lambda: None)
    state = SimpleNamespace(
        secret="secret", live=table, registration=WorkerRegistration(), spool=spool,
        services=SimpleNamespace(shared=False), invoker=None, users=None,
    )  # fmt: skip
    server = HTTPServer(Application([("/link", module.LinkHandler)], **{STATE: state}))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    url = f"ws://127.0.0.1:{sockets[0].getsockname()[1]}/link"
    headers = {"Authorization": "easymlnb secret", **version_headers(), **passed_on}
    try:
        async with connect(url, additional_headers=headers, ping_interval=None) as kernel:
            await kernel.send(pack(Hello(kernel="k", source="", live=True)))
            await kernel.send(pack(Register(specs=(spec(),))))
            await until(table.all)
            yield table, kernel
            kernel.transport.resume_reading()
    finally:
        server.stop()
        await server.close_all_connections()


async def test_kernel_that_answers_pings_stays() -> None:
    async with dialled() as (table, _):
        await asyncio.sleep(1.5)
        assert len(table.all()) == 1


async def test_silent_kernel_is_given_up() -> None:
    async with dialled() as (table, kernel):
        kernel.transport.pause_reading()
        await until(lambda: not table.all())


async def test_silent_kernel_with_a_call_is_waited_for() -> None:
    async with dialled() as (table, kernel):
        service = table.all()[0]
        pending = service.dispatcher.submit(Call(id=0, service="f", seconds=3), b"{}")
        kernel.transport.pause_reading()
        await asyncio.sleep(1.2)
        assert table.all() == [service]
        assert not pending.answered.done()
        error = (await pending.answered).error
        assert error is not None
        assert error.code == "deadline_exceeded"
        # Once its call is given up too, nothing shows that it is alive.
        await until(lambda: not table.all())


async def test_what_a_broken_link_held_begins_anew_unless_a_proxy_lost_its_answer() -> None:
    assert await _begins_anew()
    assert not await _begins_anew(**{"X-Forwarded-For": "10.0.0.7"})


async def _begins_anew(**passed_on: str) -> bool:
    """Say whether a call that waits on a kernel goes to the next one when the link breaks."""
    async with dialled(**passed_on) as (table, kernel):
        pool, other = table.all()[0].dispatcher, FakeLink()
        pending = pool.submit(Call(id=0, service="f", seconds=30), b"{}")
        pending.prefetched = True
        pool.join(other, 1)
        kernel.transport.abort()
        await until(lambda: not table.all())
        return bool(other.calls)
