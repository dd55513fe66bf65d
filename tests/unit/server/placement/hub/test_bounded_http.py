"""Users' own servers answer what they like: too much, too slowly, never."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest

from easymlnb_server.placement.hub import bounded_http
from easymlnb_server.placement.hub.node_worker import NodeRecord, RemoteWorkerKernel, SlotCounter

Say = Callable[[asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b"10000\r\n" + b"x" * 2**16 + b"\r\n"


@asynccontextmanager
async def node(say: Say) -> AsyncIterator[str]:
    """Run a server that answers everything as ``say`` does."""

    answering: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        answering.add(task)
        with suppress(ConnectionError, asyncio.CancelledError):
            await reader.readuntil(b"\r\n\r\n")
            await say(writer)
            await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        for one in answering:
            one.cancel()
        await asyncio.gather(*answering, return_exceptions=True)


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD)
    while True:
        writer.write(CHUNK)
        await writer.drain()


async def drop_by_drop(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD)
    while True:
        writer.write(b"1\r\nx\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def test_what_a_node_says_is_heard() -> None:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 404 No\r\nX-Told: yes\r\nContent-Length: 2\r\n\r\n{}")

    async with node(say) as url, bounded_http.client(httpx.BasicAuth("a", "b")) as http:
        answer = await bounded_http.request(http, "GET", url, 60)
    assert (answer.status_code, answer.headers["X-Told"], answer.json()) == (404, "yes", {})


@pytest.mark.parametrize(("say", "seconds"), [(endless, 60.0), (drop_by_drop, 0.3)])
def test_an_answer_without_an_end_is_given_up(say: Say, seconds: float) -> None:
    async def go() -> None:
        async with node(say) as url, bounded_http.client(httpx.BasicAuth("a", "b")) as http:
            with pytest.raises(httpx.ReadError if say is endless else httpx.ReadTimeout):
                await bounded_http.request(http, "GET", url, seconds)

    asyncio.run(go())


def test_a_node_that_never_comes_to_an_end_holds_no_thread(tmp_path: Path) -> None:
    asyncio.run(ask_many(tmp_path))


async def ask_many(tmp_path: Path) -> None:
    # More than there are threads for everybody's work with files and the database.
    async with node(drop_by_drop) as url, asyncio.timeout(60):
        record = NodeRecord(worker="w", placement="gpu", address=url, kernel="k")
        kernel = RemoteWorkerKernel(
            tmp_path / "record", record, SlotCounter(1), httpx.BasicAuth("a", "b")
        )
        asked = [asyncio.ensure_future(kernel.alive()) for _ in range(64)]
        await asyncio.sleep(0.1)
        async with asyncio.timeout(5):
            assert await asyncio.to_thread(lambda: "free") == "free"
        for one in asked:
            one.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
