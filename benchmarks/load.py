"""Many callers at once: connections that are kept alive, each with one call under way."""

import asyncio
import time

import httpx
from common import TOKEN


class Load:
    """Calls one URL over ``connections``, each call with the next of ``bodies``."""

    def __init__(self, url: str, bodies: list[bytes], connections: int) -> None:
        parts = httpx.URL(url)
        self._place = parts.host, parts.port or 80
        self._connections = connections
        head = (
            f"POST {parts.path} HTTP/1.1\r\nHost: {parts.host}\r\n"
            f"Content-Type: application/json\r\nAuthorization: token {TOKEN}\r\n"
        )
        self._requests = [
            f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies
        ]

    def rate(self, seconds: float) -> float:
        """Return answered calls per second; raises ``RuntimeError`` on one that failed."""
        return asyncio.run(self._rate(seconds))

    async def _rate(self, seconds: float) -> float:
        began = time.perf_counter()
        callers = (self._caller(n, began + seconds) for n in range(self._connections))
        calls = sum(await asyncio.gather(*callers))
        return calls / (time.perf_counter() - began)

    async def _caller(self, number: int, until: float) -> int:
        reader, writer = await asyncio.open_connection(*self._place)
        calls = 0
        try:
            while time.perf_counter() < until:
                writer.write(self._requests[(number + calls) % len(self._requests)])
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].partition(b"\r")[0])
                body = await reader.readexactly(length)
                if b" 200 " not in head[:16]:
                    raise RuntimeError(body.decode())
                calls += 1
        finally:
            writer.close()
        return calls
