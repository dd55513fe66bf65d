"""HTTP requests to users' servers, which may answer anything at any pace."""

import asyncio
import ssl
from functools import cache
from typing import Any

import httpx

LARGEST = 2**20
"""Bytes of an answer; what nodes have to say takes a few thousand."""


@cache
def _context() -> ssl.SSLContext:
    # It takes longer to make one than to ask.
    return httpx.create_ssl_context()


def client(auth: httpx.Auth) -> httpx.AsyncClient:
    """Return a client that signs what it asks."""
    return httpx.AsyncClient(auth=auth, verify=_context())


async def ask(
    http: httpx.AsyncClient, method: str, url: str, seconds: float, **more: Any
) -> httpx.Response:
    """Return an answer that was complete within ``seconds``; ``more`` is what httpx takes.

    Raises ``httpx.TransportError``, for one that is too slow or too large, too.
    """
    try:
        asking = http.stream(method, url, timeout=seconds, **more)
        async with asyncio.timeout(seconds), asking as answer:
            content = bytearray()
            # As it comes: what is packed may be a thousand times as large.
            async for part in answer.aiter_raw():
                content += part
                if len(content) > LARGEST:
                    raise httpx.ReadError("The response is too large.")
    except TimeoutError as error:
        raise httpx.ReadTimeout("The response is too slow or incomplete.") from error
    headers = [one for one in answer.headers.multi_items() if one[0] != "content-encoding"]
    return httpx.Response(answer.status_code, headers=headers, content=bytes(content))
