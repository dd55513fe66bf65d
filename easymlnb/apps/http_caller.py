"""Calls of an app page over REST, with a token that is valid for one service only.

A kernel carries the pages of many visitors, so all their calls share one thread with one event
loop. Nothing of one visitor is kept there: no cookies, no headers, only open streams.
"""

import asyncio
import json
import os
import secrets
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from functools import cache
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import httpx

from easymlnb.client.sse import Events
from easymlnb.client.transport import LIMITS
from easymlnb.contract.errors import (
    CallCancelled,
    EasyMLNBError,
    ServerUnreachable,
    TooLarge,
    from_code,
)
from easymlnb.contract.names import url_path
from easymlnb.contract.spec import VIEW, ServiceSpec
from easymlnb.forms.call_protocol import Event, Failed, Item, Progress, Succeeded, Waiting

RESTARTING = "The server is restarting; your input is kept"

BROKE_OFF = (
    "The connection to the server was lost; your input is kept. It is unknown whether the call "
    "completed. Run it again when the server is back."
)

LARGEST = 48 * 2**20
"""Bytes of one result; a page's connection carries 64 MB at once."""

TOO_LARGE = (
    f"The result exceeds the page's limit of {LARGEST >> 20} MB. Call the service from code to "
    "get the result."
)

CONNECT_SECONDS = 5.0

SILENT_SECONDS = 60.0
"""The server says something every 15 s; after this much silence it is gone."""

PATIENCE = 60.0
"""Seconds that a call waits for a server that does not answer yet."""

GRACE = 3.0
"""Seconds that a call has to end by itself after it was told to."""

AGAIN_SECONDS = 0.1
"""Seconds until a server that does not know of a call is told once more to stop it."""

RETRY_SECONDS = 1.0

On = Callable[[Event], None]


class EventLoopThread:
    """One thread that runs the calls of all pages of this kernel."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="easymlnb-rest", daemon=True).start()
        self.http = httpx.AsyncClient(
            # The calls go to the server that started this kernel, never through a proxy.
            trust_env=False,
            verify=_certificates(),
            limits=LIMITS,
            timeout=httpx.Timeout(SILENT_SECONDS, connect=CONNECT_SECONDS, pool=None),
        )
        # A cookie that one visitor's answer sets must not go out with another's call.
        self.http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something from any thread."""
        asyncio.run_coroutine_threadsafe(work, self._loop)


def _certificates() -> ssl.SSLContext:
    cafile = os.environ.get("EASYMLNB_CAFILE", "")
    context = ssl.create_default_context(cafile=cafile or None)
    if cafile:
        # The server's own certificate names its public host, not the loopback we reach it by.
        context.check_hostname = False
    return context


@cache
def _loop() -> EventLoopThread:
    return EventLoopThread()


class HttpCall:
    """A call on its way to the server."""

    def __init__(self, caller: "HttpCaller", values: dict[str, Any], on: On) -> None:
        self.id = secrets.token_hex(8)
        self._caller = caller
        self._on = on
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._over = asyncio.Event()
        self._body = json.dumps(values).encode()
        self._uploads = ",".join(uploads(values))

    def stop(self) -> None:
        """Ask the call to end; also before it has begun."""
        self._stopping = True
        _loop().start(self._stop())

    async def _stop(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                while not (self._over.is_set() or await self._told()):
                    with suppress(TimeoutError):
                        async with asyncio.timeout(AGAIN_SECONDS):
                            await self._over.wait()
                await self._over.wait()
        # Where it could not be said, closing the stream tells it, too.
        if self._task is not None:
            self._task.cancel()

    async def _told(self) -> bool:
        """Tell the server; says whether that was heard: what is told may overtake the call."""
        with suppress(httpx.HTTPError):
            url = f"{self._caller.url}calls/{self.id}"
            answer = await _loop().http.delete(url, headers=self._caller.headers)
            return answer.status_code != 404
        return True

    async def run(self) -> None:
        """Make the call and tell what happens, to its end."""
        self._task = asyncio.current_task()
        started = time.monotonic()
        try:
            event = await self._end(started)
        except asyncio.CancelledError:
            event = Failed(CallCancelled())
        except EasyMLNBError as error:
            error.request_id = error.request_id or self.id
            event = Failed(error)
        except (httpx.HTTPError, httpx.StreamError, ValueError, RecursionError):
            event = Failed(from_code(ServerUnreachable.code, BROKE_OFF, None, self.id))
        # Nobody cancels what has ended.
        self._task = None
        self._over.set()
        self._on(event)

    async def _end(self, started: float) -> Succeeded | Failed:
        while True:
            try:
                async with _loop().http.stream(
                    "POST",
                    f"{self._caller.url}services/{url_path(self._caller.name)}/view",
                    content=self._body,
                    headers=self._caller.headers
                    | {
                        "Content-Type": "application/json",
                        "Accept": f"text/event-stream, {VIEW}",
                        "X-Request-Id": self.id,
                    }
                    | ({"X-Easymlnb-Uploads": self._uploads} if self._uploads else {}),
                ) as response:
                    return await self._read(response, started)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                # Nothing was sent yet, so trying again can do nothing twice.
                if self._stopping:
                    raise CallCancelled() from error
                if time.monotonic() - started > PATIENCE:
                    raise ServerUnreachable(f"{RESTARTING}. Run it again in a moment.") from error
                self._on(Progress(-1.0, RESTARTING))
                await asyncio.sleep(RETRY_SECONDS)

    async def _read(self, response: httpx.Response, started: float) -> Succeeded | Failed:
        if response.status_code != 200:
            return Failed(_refusal(await response.aread(), self.id))
        async for name, data in _events(response):
            if name in ENDS:
                return ENDS[name](data, time.monotonic() - started, self.id)
            if name in NEWS:
                self._on(NEWS[name](json.loads(data)))
        raise ServerUnreachable(BROKE_OFF)


def uploads(value: Any) -> Iterator[str]:
    """Yield the names of the files that were sent before the call, wherever they stand in it."""
    if isinstance(value, dict):
        if isinstance(value.get("upload"), str):
            yield value["upload"]
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from uploads(one)


async def _events(response: httpx.Response) -> AsyncIterator[tuple[str, str]]:
    events, size = Events(), 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        for event in events.feed(chunk):
            yield event
            size = 0
        if size > LARGEST:
            raise TooLarge(TOO_LARGE)


def _refusal(body: bytes, request: str) -> EasyMLNBError:
    try:
        told = json.loads(body)["error"]
        return _error(told, request)
    except (ValueError, KeyError, TypeError):
        return ServerUnreachable("The server sent an invalid response. Please try again.")


def _error(told: Any, request: str) -> EasyMLNBError:
    return from_code(
        str(told.get("code", "error")),
        str(told.get("message", "The call failed.")),
        told.get("details"),
        str(told.get("request_id") or request),
    )


def _failed(data: str, seconds: float, request: str) -> Failed:
    told = json.loads(data)
    return Failed(_error(told.get("error", told), request))


def _done(data: str, seconds: float, request: str) -> Succeeded:
    found = json.loads(data) or {}
    # The plain result is for programs; here it would be kept a second time.
    return Succeeded(found.get("parts", []), seconds, request)


def _progress(told: Any) -> Progress:
    return Progress(float(told.get("fraction", -1)), str(told.get("text", "")))


def _waiting(told: Any) -> Waiting:
    position, seconds = told.get("position"), told.get("seconds")
    return Waiting(
        None if position is None else int(position),
        None if seconds is None else float(seconds),
        str(told.get("state") or ""),
        str(told.get("reason") or ""),
    )


NEWS: dict[str, Callable[[Any], Event]] = {
    "progress": _progress,
    "waiting": _waiting,
    "item": lambda told: Item(told["parts"]),
}

ENDS: dict[str, Callable[[str, float, str], Succeeded | Failed]] = {
    "result": _done,
    "error": _failed,
}


class HttpCaller:
    """Calls one service for one visitor.

    ``url`` is where the kernel reaches easymlnb's routes, such as
    ``http://127.0.0.1:8888/easymlnb/``; ``secret`` the pass for this service and visitor.
    """

    def __init__(self, url: str, secret: str, spec: ServiceSpec) -> None:
        self.url = url.rstrip("/") + "/"
        self.name = spec.name
        self.headers = {"Authorization": f"easymlnb-pass {secret}"}

    def start(self, values: dict[str, Any], on: On) -> HttpCall:
        running = HttpCall(self, values, on)
        _loop().start(running.run())
        return running
