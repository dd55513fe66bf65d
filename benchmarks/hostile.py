"""A normal caller during an attack by hostile clients.

``python benchmarks/hostile.py [--seconds 30]``. Two hundred connections send half a request and
then one byte per second, twenty clients upload files without a pause, one sends headers of 100 kB
of blanks, and an app page sends messages as fast as it can. Disconnected clients reconnect at once.
The run takes twice ``--seconds``, plus the start of a server.
"""

import argparse
import asyncio
import contextlib
import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from http.client import HTTPConnection
from multiprocessing import get_context
from pathlib import Path
from statistics import quantiles

import httpx
from common import TOKEN, Caller, easymlnb, publish, server, service
from load import answer
from visitors import SOURCE, opened
from websockets.exceptions import ConnectionClosed

QUICK = """
import easymlnb as ml

@ml.service
def quick(x: float) -> float:
    return x

@ml.service
def size(file: ml.File) -> int:
    return file.size
"""
SLOW = 200
UPLOADERS = 20
UPLOAD = 4 * 2**20
BLANKS = 100_000
AGAIN = 0.1
"""Seconds after which a disconnected client reconnects."""

GOAL_HEALTH, GOAL_CALLS, GOAL_MEMORY = 0.25, 3.0, 1.1

LOGIN = f"Host: localhost\r\nAuthorization: token {TOKEN}\r\n".encode()
BEGUN = (
    b"GET /easymlnb/hea",
    b"GET /easymlnb/health/live HTTP/1.1\r\nHost: localhost\r\nX: ",
    b"POST /easymlnb/services/quick/call HTTP/1.1\r\n" + LOGIN + b"Content-Length: 5000\r\n\r\n",
    b"POST /easymlnb/services HTTP/1.1\r\n" + LOGIN
    + b"Content-Type: application/zip\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n",
)  # fmt: skip


class Attack:
    """All hostile clients, in one process."""

    def __init__(self, url: str, seconds: float) -> None:
        self._url = url
        parts = httpx.URL(url)
        self._where = (parts.host, parts.port or 80)
        self._until = time.monotonic() + seconds
        self._did: Counter[str] = Counter()

    async def run(self) -> Counter[str]:
        """Go on until the time is over; returns what was done."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._until - time.monotonic()), asyncio.TaskGroup() as all_:
                for number in range(SLOW):
                    all_.create_task(self._again(lambda number=number: self._slow(number)))
                for number in range(UPLOADERS):
                    all_.create_task(self._again(lambda number=number: self._upload(number)))
                all_.create_task(self._again(self._blanks))
                all_.create_task(self._again(self._flood))
        return self._did

    async def _again(self, attack: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await attack()
            except (OSError, EOFError, httpx.HTTPError, ConnectionClosed, TimeoutError, KeyError):
                self._did["disconnected clients"] += 1
            await asyncio.sleep(AGAIN)

    async def _slow(self, number: int) -> None:
        reader, writer = await asyncio.open_connection(*self._where)
        self._did["slow connections"] += 1
        try:
            writer.write(BEGUN[number % len(BEGUN)])
            while not reader.at_eof():
                writer.write(b" ")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await reader.read(1000)
        finally:
            writer.transport.abort()
        raise EOFError

    async def _upload(self, number: int) -> None:
        reader, writer = await asyncio.open_connection(*self._where)

        async def send(line: str, body: bytes = b"") -> None:
            head = f"{line} HTTP/1.1\r\nContent-Length: {len(body)}\r\n".encode()
            writer.write(head + LOGIN + b"\r\n" + body)
            await writer.drain()

        try:
            while True:
                told = json.dumps({"name": f"{number}.bin", "size": UPLOAD}).encode()
                await send("POST /easymlnb/uploads?service=size&field=file", told)
                made = json.loads((await answer(reader))[2])
                for at in range(0, UPLOAD, made["chunk"]):
                    part = bytes(min(made["chunk"], UPLOAD - at))
                    await send(f"PUT /easymlnb/uploads/{made['id']}?offset={at}", part)
                    await answer(reader)
                await send(f"DELETE /easymlnb/uploads/{made['id']}")
                await reader.readuntil(b"\r\n\r\n")  # 204 has no body
                self._did[f"uploads of {UPLOAD >> 20} MB"] += 1
        finally:
            writer.transport.abort()

    async def _blanks(self) -> None:
        reader, writer = await asyncio.open_connection(*self._where)
        try:
            line = b"POST /easymlnb/services/quick/call HTTP/1.1\r\nX: "
            writer.write(line + b" " * BLANKS + b"\x01\r\n\r\n")
            self._did["headers of 100 kB of blanks"] += 1
            async with asyncio.timeout(20):
                await reader.read()
        finally:
            writer.transport.abort()

    async def _flood(self) -> None:
        async with opened(self._url, 0, asyncio.Semaphore()) as (visitor, _):
            hearing = asyncio.create_task(self._hear(visitor.hear))
            try:
                turn = 0
                while not hearing.done():
                    turn += 1
                    data = {"method": "update", "state": {"value": f"v{turn}"}}
                    await visitor.say("comm_msg", {"comm_id": visitor._field, "data": data})
                    self._did["messages of the page"] += 1
            finally:
                hearing.cancel()

    async def _hear(self, hear: Callable[[], Awaitable[str]]) -> None:
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            while True:
                await hear()


def attack(url: str, seconds: float) -> Counter[str]:
    return asyncio.run(Attack(url, seconds).run())


class Health:
    """Asks ``health/live`` ten times a second, and remembers the slowest answer."""

    def __init__(self, url: str) -> None:
        parts = httpx.URL(f"{url}health/live")
        self._address = (parts.host, parts.port or 80)
        self._path = parts.raw_path.decode()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.slowest = 0.0

    def __enter__(self) -> "Health":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._over.wait(0.1):
            # A new connection each time, as a probe has: it has to be accepted, too.
            connection = HTTPConnection(*self._address, timeout=60)
            began = time.perf_counter()
            connection.request("GET", self._path)
            if connection.getresponse().read() and self.slowest >= 0:
                self.slowest = max(self.slowest, time.perf_counter() - began)
            connection.close()


def measured(url: str, seconds: float) -> tuple[float, float, float]:
    """Return p50 and p99 of calls, and the slowest answer of the health check."""
    caller = Caller(service(url, "quick", [b'{"x": 1.5}']))
    until, times = time.monotonic() + seconds, []
    with Health(url) as health:
        while time.monotonic() < until:
            times += caller.times(20)
            time.sleep(0.02)
    cuts = quantiles(times, n=100)
    return cuts[49], cuts[98], health.slowest


def row(what: str, found: str, goal: str = "") -> None:
    print(f"| {what} | {found} | {goal} |", flush=True)


def main(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as name, easymlnb(Path(name)) as url:
        publish(url, QUICK, "quick")
        publish(url, SOURCE, "echo")
        process = server(url)
        measured(url, seconds / 6)  # so that what is made once is there before
        p50, p99, live = measured(url, seconds / 3)
        before = process.memory_info().rss
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            sent = pool.submit(attack, url, seconds + 2)
            time.sleep(2)
            hurt50, hurt99, hurt = measured(url, seconds - 2)
            did = sent.result()
        time.sleep(seconds / 3)
        after = process.memory_info().rss
    print("| | | goal |\n|---|---|---|")
    for what, times in did.items():
        row(what, f"{times:,}")
    row("`health/live`, slowest, quiet", f"{live * 1e3:.0f} ms")
    row("`health/live`, slowest, under attack", f"{hurt * 1e3:.0f} ms", f"{GOAL_HEALTH * 1e3:g} ms")
    row("calls, p50 and p99, quiet", f"{p50 * 1e3:.1f} ms, {p99 * 1e3:.1f} ms")
    row("calls, p50 and p99, under attack", f"{hurt50 * 1e3:.1f} ms, {hurt99 * 1e3:.1f} ms")
    row("p99 under attack in relation to quiet", f"{hurt99 / p99:.1f} x", f"{GOAL_CALLS:g} x")
    memory = f"{before / 2**20:.0f} MB, {after / 2**20:.0f} MB"
    row("memory of the server before and after", memory)
    row("after in relation to before", f"{after / before:.2f} x", f"{GOAL_MEMORY:g} x")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    main(parser.parse_args().seconds)
