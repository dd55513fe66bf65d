"""Many callers at once: connections that are kept alive, each with one call under way.

``wrk`` makes the load where it is installed: it costs a fraction of what a Python client does,
which on a small machine takes the processor from those it measures. Else a Python client does.
"""

import asyncio
import json
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

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


@dataclass
class Arrived:
    """One call of many: when it was due, how long its answer took from then on, and that."""

    due: float
    seconds: float
    status: int
    head: str


async def arrivals(peer: Peer, times: list[float]) -> list[Arrived]:
    """Call at these times, in seconds from now, however long the answers take."""
    parts = httpx.URL(peer.url)
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    began = time.perf_counter()

    async def one(number: int, due: float) -> Arrived:
        await asyncio.sleep(due - (time.perf_counter() - began))
        open_ = idle.pop() if idle else await asyncio.open_connection(parts.host, parts.port or 80)
        reader, writer = open_
        writer.write(request(peer, peer.bodies[number % len(peer.bodies)]))
        status, head, _ = await answer(reader)
        idle.append(open_)
        return Arrived(due, time.perf_counter() - began - due, status, head)

    try:
        return await asyncio.gather(*(one(number, due) for number, due in enumerate(times)))
    finally:
        for _, writer in idle:
            writer.close()


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
