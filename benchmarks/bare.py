"""The rule of ``rules.py`` behind the least HTTP server: no token, no checks, no second process.

``python benchmarks/bare.py PORT`` takes all that waits as soon as the model is free, where the
model is a thread that sleeps. What a service of easymlnb takes beyond it is what it adds.
"""

import asyncio
import json
import re
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import cast

MOST = 32
LENGTH = re.compile(rb"\r\nContent-Length: (\d+)")


def cost(size: int) -> float:
    return 0.008 + 0.001 * size


class Connection(asyncio.Protocol):
    """One caller, who sends the next call when the last one is answered."""

    def __init__(self, line: "deque[tuple[Connection, float]]", some: asyncio.Event) -> None:
        self._line = line
        self._some = some
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, end, body = self._read.partition(b"\r\n\r\n")
        if not end or len(body) < int(LENGTH.search(head)[1]):  # type: ignore[index]
            return
        self._read = b""
        self._line.append((self, json.loads(body)["x"]))
        self._some.set()

    def answer(self, value: float) -> None:
        body = json.dumps(value).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        self._transport.write(f"{head}\r\n\r\n".encode() + body)


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    line: deque[tuple[Connection, float]] = deque()
    some = asyncio.Event()
    await loop.create_server(lambda: Connection(line, some), "127.0.0.1", port)
    with ThreadPoolExecutor(1) as model:
        while True:
            some.clear()
            if not line:
                await some.wait()
            taken = [line.popleft() for _ in range(min(MOST, len(line)))]
            await loop.run_in_executor(model, time.sleep, cost(len(taken)))
            for caller, value in taken:
                caller.answer(value)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
