"""Many callers at once: connections that are kept alive, each with one call under way.

``wrk`` makes the load where it is installed: it costs a fraction of what a Python client does,
which on a small machine takes the processor from those it measures. Else a Python client does.
"""

import asyncio
import gc
import json
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import cast

import httpx
from common import Peer

GENERATOR = "wrk" if shutil.which("wrk") else "a Python client"

SCRIPT = """
local bodies = {{{bodies}}}
local at = 0
request = function()
  at = at % #bodies + 1
  return wrk.format("POST", nil, {{{headers}}}, bodies[at])
end
"""


def rate(peer: Peer, connections: int, seconds: float) -> float:
    """Return answered calls per second; raises ``RuntimeError`` when one failed."""
    if GENERATOR == "wrk":
        return _wrk(peer, connections, seconds)
    return asyncio.run(_python(peer, connections, seconds))


def _wrk(peer: Peer, connections: int, seconds: float) -> float:
    bodies = ", ".join(_lua(body.decode()) for body in peer.bodies)
    headers = ", ".join(f"[{_lua(k)}] = {_lua(v)}" for k, v in peer.headers.items())
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "call.lua"
        script.write_text(SCRIPT.format(bodies=bodies, headers=headers))
        command = [
            "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "60s",
            "-s", str(script), peer.url,
        ]  # fmt: skip
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(said)
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert found, said
    return float(found[1])


def _lua(text: str) -> str:
    return json.dumps(text)


async def _python(peer: Peer, connections: int, seconds: float) -> float:
    began = time.perf_counter()
    callers = (_caller(peer, n, began + seconds) for n in range(connections))
    calls = sum(await asyncio.gather(*callers))
    return calls / (time.perf_counter() - began)


async def _caller(peer: Peer, number: int, until: float) -> int:
    parts = httpx.URL(peer.url)
    requests = [request(peer, body) for body in peer.bodies]
    reader, writer = await asyncio.open_connection(parts.host, parts.port or 80)
    calls = 0
    try:
        while time.perf_counter() < until:
            writer.write(requests[(number + calls) % len(requests)])
            status, _, body = await answer(reader)
            if status != 200:
                raise RuntimeError(body.decode(errors="replace"))
            calls += 1
    finally:
        writer.close()
    return calls


_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


@dataclass(slots=True)
class Arrived:
    """One call of many: when it was due and answered, and that answer, with its body."""

    due: float
    ended: float
    status: int
    answer: bytes

    @property
    def seconds(self) -> float:
        """How long it took, from when it was due."""
        return self.ended - self.due

    @property
    def head(self) -> str:
        return self.answer.partition(b"\r\n\r\n")[0].decode("latin-1")


class _Line(asyncio.Protocol):
    """A kept-alive connection of ``arrivals``, lean: what it costs is measured as if it were ours.

    Answers must say their length. ``idle`` takes it back when one is whole.
    """

    def __init__(self, idle: "list[_Line]") -> None:
        self.idle = idle
        self.due = 0.0
        self.answered: asyncio.Future[Arrived] | None = None
        self._parts: list[bytes] = []
        self._missing = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        now = asyncio.get_running_loop().time()
        self._parts.append(data)
        if self._missing < 0:
            whole = b"".join(self._parts)
            end = whole.find(b"\r\n\r\n") + 4
            if end < 4:
                return
            self._missing = end + int(_LENGTH.search(whole, 0, end)[1]) - len(whole)  # type: ignore[index]
        else:
            self._missing -= len(data)
        if self._missing == 0:
            head = b"".join(self._parts)
            self._parts, self._missing = [], -1
            assert self.answered is not None
            self.answered.set_result(Arrived(self.due, now, int(head[9:12]), head))
            self.idle.append(self)

    def connection_lost(self, error: Exception | None) -> None:
        if self.answered is not None and not self.answered.done():
            self.answered.set_exception(error or ConnectionError("The server hung up."))


async def arrivals(peer: Peer, times: list[float]) -> list[Arrived]:
    """Call at these times, in seconds from now, however long the answers take."""
    parts = httpx.URL(peer.url)
    loop = asyncio.get_running_loop()
    idle: list[_Line] = []
    lines: list[_Line] = []
    requests = [request(peer, body) for body in peer.bodies]
    answers = [loop.create_future() for _ in times]
    opening = set()

    async def open_line() -> _Line:
        _, line = await loop.create_connection(lambda: _Line(idle), parts.host, parts.port or 80)
        lines.append(line)
        return line

    def send(line: _Line, number: int, due: float) -> None:
        line.due, line.answered = due, answers[number]
        line.transport.write(requests[number % len(requests)])

    async def open_and_send(number: int, due: float) -> None:
        send(await open_line(), number, due)

    def arrive(number: int, due: float) -> None:
        if idle:
            send(idle.pop(), number, due)
        else:
            task = loop.create_task(open_and_send(number, due))
            opening.add(task)
            task.add_done_callback(opening.discard)

    gc.freeze()  # a search for garbage here would count as time of the server
    began = loop.time()
    for number, due in enumerate(times):
        loop.call_at(began + due, arrive, number, began + due)
    try:
        return await asyncio.gather(*answers)
    finally:
        for line in lines:
            line.transport.close()


def poisson(calls_per_second: float, seconds: float, seed: int = 0) -> list[float]:
    """Return the times of calls that come independently of each other."""
    chance, now, found = Random(seed), 0.0, []
    while (now := now + chance.expovariate(calls_per_second)) < seconds:
        found.append(now)
    return found


def request(peer: Peer, body: bytes) -> bytes:
    """Return a call as it goes over the wire."""
    parts = httpx.URL(peer.url)
    lines = [f"POST {parts.raw_path.decode()} HTTP/1.1", f"Host: {parts.host}"]
    lines += [f"{name}: {value}" for name, value in peer.headers.items()]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


async def answer(reader: asyncio.StreamReader) -> tuple[int, str, bytes]:
    """Read one answer: its status, its head and its body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    length = re.search(r"(?i)\r\ncontent-length: *(\d+)", head)
    if length is not None:
        body = await reader.readexactly(int(length[1]))
    else:
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    return int(head[9:12]), head, body
