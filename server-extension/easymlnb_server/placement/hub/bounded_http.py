"""HTTP requests to users' servers, with limits on the time and size of the response."""

import asyncio
import ssl
from functools import cache
from typing import Any

import httpx

MAX_RESPONSE = 2**20
"""Maximum bytes of a response; nodes send a few thousand."""


@cache
def _context() -> ssl.SSLContext:
    # Creating one takes longer than a request.
    return httpx.create_ssl_context()


def client(auth: httpx.Auth) -> httpx.AsyncClient:
    """Return a client that authenticates its requests."""
    return httpx.AsyncClient(auth=auth, verify=_context())


async def request(
    http: httpx.AsyncClient, method: str, url: str, seconds: float, **options: Any
) -> httpx.Response:
    """Return a response that was complete within ``seconds``; ``options`` are httpx's.

    Raises ``httpx.TransportError``, also for a response that is too slow or too large.
    """
    try:
        stream = http.stream(method, url, timeout=seconds, **options)
        async with asyncio.timeout(seconds), stream as response:
            content = bytearray()
            # Without decompression, which could make it a thousand times as large.
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) > MAX_RESPONSE:
                    raise httpx.ReadError("The response is too large.")
    except TimeoutError as error:
        raise httpx.ReadTimeout("The response is too slow or incomplete.") from error
    headers = [item for item in response.headers.multi_items() if item[0] != "content-encoding"]
    return httpx.Response(response.status_code, headers=headers, content=bytes(content))
