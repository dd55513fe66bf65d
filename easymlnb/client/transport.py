"""Connect our requests and responses to httpx, and translate its errors."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from easymlnb._version import __version__
from easymlnb.client.discovery import Server
from easymlnb.client.messages import Request, Response
from easymlnb.contract.errors import ServerUnreachable

CONNECT_SECONDS = 10.0
CHUNK = 2**20

LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None)
"""No limits: above a limit, httpcore 1.0 may close a connection that another thread has just
received (encode/httpcore#1110)."""


def settings(server: Server) -> dict[str, Any]:
    """Return what both kinds of httpx client are made with."""
    return {
        **({"verify": _trusting(server.cafile)} if server.cafile else {}),
        "base_url": server.url,
        "headers": server.headers | {"User-Agent": f"easymlnb/{__version__}"},
        "trust_env": not server.local,
        "limits": LIMITS,
    }


def _trusting(cafile: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=cafile)
    # The server's certificate has its public host name, not the loopback address.
    context.check_hostname = False
    return context


class _FileChunks:
    """The content of a file in parts, for both kinds of httpx client."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def sync(self) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            yield from iter(partial(file.read, CHUNK), b"")

    async def awaited(self) -> AsyncIterator[bytes]:
        with await asyncio.to_thread(self._path.open, "rb") as file:
            while chunk := await asyncio.to_thread(file.read, CHUNK):
                yield chunk


def arguments(request: Request, *, awaited: bool = False) -> dict[str, Any]:
    """Return a request as arguments of ``httpx.Client.request`` and ``stream``.

    ``awaited`` is for the asynchronous client.
    """
    seconds = request.seconds
    found: dict[str, Any] = {
        "method": request.method,
        "url": request.path,
        "headers": request.headers,
        "timeout": httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS)),
    }
    if request.params:
        found["params"] = request.params
    if request.form is not None:
        found["files"] = request.form
    elif request.source is not None:
        chunks = _FileChunks(request.source)
        found["content"] = chunks.awaited() if awaited else chunks.sync()
        length = str(request.source.stat().st_size)
        found["headers"] = {**request.headers, "Content-Length": length}
    elif request.content is not None:
        found["content"] = request.content
    return found


def read(response: httpx.Response, body: bytes) -> Response:
    """Return a response as our record."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Response(response.status_code, headers, body)


@contextmanager
def translate_errors(server: Server, seconds: float = 0.0) -> Iterator[None]:
    """Raise httpx's errors as ``ServerUnreachable`` with a clear message."""
    try:
        yield
    except httpx.ConnectTimeout as error:
        raise ServerUnreachable(
            f"No server responded at {server.url} in time. Check that the server is running and "
            "the URL is correct."
        ) from error
    except httpx.TimeoutException as error:
        raise ServerUnreachable(
            f"The server did not respond within {seconds:g} s. Pass a longer timeout, or check "
            "whether the server is busy."
        ) from error
    except httpx.ConnectError as error:
        raise ServerUnreachable(
            f"No server responds at {server.url}. Check that the server is running and the URL "
            "is correct."
        ) from error
    except (httpx.HTTPError, httpx.StreamError) as error:
        raise ServerUnreachable(
            f"The connection to {server.url} was lost ({type(error).__name__}). It is unknown "
            "whether the request completed."
        ) from error
    except httpx.InvalidURL as error:
        raise ServerUnreachable(
            f"Invalid server URL {server.url!r}. Use a URL such as 'http://localhost:8888/'."
        ) from error
