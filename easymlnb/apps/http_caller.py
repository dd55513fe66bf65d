"""Calls of an app page over HTTP, with a token that is valid for one service.

A form kernel has the pages of many visitors, and all their calls share one thread with one event
loop. It stores no cookies and no headers of a visitor.
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
import msgspec

from easymlnb.apps.http_jobs import HttpJob, JobResult
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
from easymlnb.contract.spec import NOT_RECORDED, VIEW, ServiceSpec
from easymlnb.forms.call_protocol import (
    Event,
    Failed,
    HandOver,
    Item,
    JobStatus,
    Progress,
    Succeeded,
    Waiting,
)

RESTARTING = "The server is restarting; your input is kept"

CONNECTION_LOST = (
    "The connection to the server was lost; your input is kept. It is unknown whether the call "
    "completed. Run it again when the server is back."
)

LARGEST = 48 * 2**20
"""Bytes of one result; a message on a page's connection may have 64 MB."""

TOO_LARGE = (
    f"The result exceeds the page's limit of {LARGEST >> 20} MB. Call the service from code to "
    "get the result."
)

CONNECT_SECONDS = 5.0

SILENCE_SECONDS = 60.0
"""Seconds without data after which the server is considered lost; it sends some every 15 s."""

REST_SECONDS = 0.1
"""Seconds that a response may take to end after its result."""

PATIENCE = 60.0
"""Seconds that a call waits for a server that cannot be reached."""

GRACE = 3.0
"""Seconds that a call may take to end after it was asked to."""

STOP_RETRY_SECONDS = 0.1
"""Seconds between requests to stop a call that the server does not know yet."""

RETRY_SECONDS = 1.0

OnEvent = Callable[[Event], None]


class EventLoopThread:
    """One thread that runs the calls of all pages of this kernel."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="easymlnb-rest", daemon=True).start()
        self.http = httpx.AsyncClient(
            # Calls go to the server that started this kernel, never through a proxy.
            trust_env=False,
            verify=_certificates(),
            limits=LIMITS,
            timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS, pool=None),
        )
        # Cookies of one visitor's responses must not be sent with another's call.
        self.http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine. Thread-safe."""
        asyncio.run_coroutine_threadsafe(work, self._loop)


def _certificates() -> ssl.SSLContext:
    cafile = os.environ.get("EASYMLNB_CAFILE", "")
    context = ssl.create_default_context(cafile=cafile or None)
    if cafile:
        # The server's certificate names its public host, not the loopback address.
        context.check_hostname = False
    return context


@cache
def shared_loop() -> EventLoopThread:
    return EventLoopThread()


class HttpCall:
    """A call that runs on the server."""

    def __init__(
        self,
        caller: "HttpCaller",
        values: dict[str, Any],
        on_event: OnEvent,
        resumed: str = "",
    ) -> None:
        self.id = resumed or secrets.token_hex(8)
        self._caller = caller
        self._on_event = on_event
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._ended = asyncio.Event()
        self._body = json.dumps(values).encode()
        self._headers = caller.headers | {
            "Content-Type": "application/json",
            "Accept": f"text/event-stream, {VIEW}",
            "X-Request-Id": self.id,
        }
        # Without this page the call continues for a while, and the next page takes it up.
        self._headers["Idempotency-Key"] = self.id
        if resumed:
            self._headers["X-Easymlnb-Resume"] = "true"
        if names := ",".join(uploads(values)):
            self._headers["X-Easymlnb-Uploads"] = names

    def leave(self) -> None:
        """Wait no longer for the call; the next page may take it up."""
        shared_loop().start(self._cancel())

    async def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def stop(self) -> None:
        """Ask the call to end, even before it has begun."""
        self._stopping = True
        shared_loop().start(self._stop())

    async def _stop(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                while not (self._ended.is_set() or await self._stop_on_server()):
                    with suppress(TimeoutError):
                        async with asyncio.timeout(STOP_RETRY_SECONDS):
                            await self._ended.wait()
                await self._ended.wait()
        # If the server did not respond, closing the stream cancels the call, too.
        if self._task is not None:
            self._task.cancel()

    async def _stop_on_server(self) -> bool:
        """Stop the call; False if the server does not know it: the request may overtake it."""
        with suppress(httpx.HTTPError):
            url = f"{self._caller.url}calls/{self.id}"
            response = await shared_loop().http.delete(url, headers=self._caller.headers)
            return response.status_code != 404
        return True

    async def run(self) -> None:
        """Run the call and report its events."""
        self._task = asyncio.current_task()
        started = time.monotonic()
        try:
            event = await self._request(started)
        except asyncio.CancelledError:
            event = Failed(CallCancelled())
        except EasyMLNBError as error:
            error.request_id = error.request_id or self.id
            event = Failed(error)
        except (
            httpx.HTTPError, httpx.StreamError, msgspec.ValidationError, ValueError, RecursionError,
        ):  # fmt: skip
            event = Failed(from_code(ServerUnreachable.code, CONNECTION_LOST, None, self.id))
        self._task = None
        self._ended.set()
        self._on_event(event)

    async def _request(self, started: float) -> Succeeded | Failed:
        url = f"{self._caller.url}services/{url_path(self._caller.name)}/view"
        answered = retried = False
        while True:
            try:
                async with shared_loop().http.stream(
                    "POST", url, content=self._body, headers=self._headers
                ) as response:
                    answered = True
                    return await self._read(response, started)
            except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
                # The server may have closed a connection that was kept; with the key, the call
                # does not run twice.
                if answered or retried or self._stopping:
                    raise
                retried = True
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                # Nothing was sent yet, so a retry cannot run the call twice.
                if self._stopping:
                    raise CallCancelled() from error
                if time.monotonic() - started > PATIENCE:
                    raise ServerUnreachable(f"{RESTARTING}. Run it again in a moment.") from error
                self._on_event(Progress(-1.0, RESTARTING))
                await asyncio.sleep(RETRY_SECONDS)

    async def _read(self, response: httpx.Response, started: float) -> Succeeded | Failed:
        if response.status_code != 200:
            return Failed(_rejection(await response.aread(), self.id))
        events = _events(response)
        async for name, data in events:
            if name in EVENTS:
                self._on_event(msgspec.convert(json.loads(data), EVENTS[name]))
            elif name in ("result", "error"):
                content = json.loads(data) or {}
                seconds = time.monotonic() - started
                await _read_rest(events)
                if name == "error":
                    return Failed(_error(content.get("error", content), self.id))
                # ``result`` is for programs; it would only use memory here.
                return Succeeded(content.get("parts", []), seconds, self.id)
        raise ServerUnreachable(CONNECTION_LOST)


def uploads(value: Any) -> Iterator[str]:
    """Yield the names of uploaded files anywhere in a value."""
    if isinstance(value, dict):
        if isinstance(value.get("upload"), str):
            yield value["upload"]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from uploads(item)


async def _events(response: httpx.Response) -> AsyncIterator[tuple[str, str]]:
    events, size = Events(), 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        for event in events.feed(chunk):
            yield event
            size = 0
        if size > LARGEST:
            raise TooLarge(TOO_LARGE)


async def _read_rest(events: AsyncIterator[Any]) -> None:
    """Read to the end of a response, so that the next call can use its connection."""
    with suppress(TimeoutError, httpx.HTTPError, httpx.StreamError, EasyMLNBError):
        async with asyncio.timeout(REST_SECONDS):
            async for _ in events:
                pass


def _rejection(body: bytes, request: str) -> EasyMLNBError:
    try:
        return _error(json.loads(body)["error"], request)
    except (ValueError, KeyError, TypeError, AttributeError):
        return ServerUnreachable("The server sent an invalid response. Please try again.")


def _error(content: Any, request: str) -> EasyMLNBError:
    return from_code(
        str(content.get("code", "error")),
        str(content.get("message", "The call failed.")),
        content.get("details"),
        str(content.get("request_id") or request),
    )


EVENTS: dict[str, type[Progress | Waiting | Item]] = {
    "progress": Progress,
    "waiting": Waiting,
    "item": Item,
}


class HttpCaller:
    """Calls one service for one visitor.

    ``url`` is the address of easymlnb's routes for this kernel, such as
    ``http://127.0.0.1:8888/easymlnb/``; ``secret`` is the token for this service and visitor, who
    has no login if ``public``.
    """

    def __init__(self, url: str, secret: str, spec: ServiceSpec, *, public: bool = False) -> None:
        record = spec.record or NOT_RECORDED
        self.may_flag = record.flags and (record.visitors or not public)
        self.may_run_jobs = not spec.stream
        self.url = url.rstrip("/") + "/"
        self.name = spec.name
        self.headers = {"Authorization": f"easymlnb-pass {secret}"}

    def start(self, values: dict[str, Any], on_event: OnEvent) -> HttpCall:
        call = HttpCall(self, values, on_event)
        shared_loop().start(call.run())
        return call

    def resume(self, id: str, on_event: OnEvent) -> HttpCall:
        """Wait for a call that a page before this one has started; see ``ResumingCaller``."""
        call = HttpCall(self, {}, on_event, resumed=id)
        shared_loop().start(call.run())
        return call

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request with the token of the page."""
        headers = self.headers | options.pop("headers", {})
        return await shared_loop().http.request(method, self.url + path, headers=headers, **options)

    def submit_job(self, values: dict[str, Any], on_status: Callable[[JobStatus], None]) -> HttpJob:
        """Submit a call as a job; see ``JobCaller``."""
        headers = {
            "Content-Type": "application/json",
            "Accept": VIEW,
            "Prefer": "respond-async",
            "Idempotency-Key": secrets.token_hex(16),
        }
        if names := ",".join(uploads(values)):
            headers["X-Easymlnb-Uploads"] = names
        path = f"services/{url_path(self.name)}/view"
        submit = {"path": path, "content": json.dumps(values).encode(), "headers": headers}
        return self._follow(HttpJob(self.request, "", submit, on_status))

    def hand_over(self, call: str, on_done: Callable[[HandOver], None]) -> None:
        """Let a running call continue as a job; see ``JobCaller``."""
        shared_loop().start(self._hand_over(call, on_done))

    async def _hand_over(self, call: str, on_done: Callable[[HandOver], None]) -> None:
        try:
            response = await self.request("POST", f"calls/{call}/job")
            if response.status_code == 202:
                done = HandOver(str(response.json()["id"]))
            else:
                problem = _rejection(response.content, call).message
                done = HandOver("", problem, may_restart=response.status_code == 400)
        except (httpx.HTTPError, httpx.StreamError, ValueError, KeyError):
            done = HandOver("", "The server cannot be reached. Try again.")
        on_done(done)

    def follow_job(self, id: str, on_status: Callable[[JobStatus], None]) -> HttpJob:
        """Follow a job of this service; see ``JobCaller``."""
        return self._follow(HttpJob(self.request, id, {}, on_status))

    def read_job(self, id: str, on_event: OnEvent) -> JobResult:
        """Read the result of a job; see ``JobCaller``."""
        read = JobResult(self.request, id, on_event, LARGEST)
        shared_loop().start(read.run())
        return read

    def use_model(self, id: str, on_done: Callable[[str], None]) -> None:
        """Put the model of a job in production; see ``JobCaller``."""
        shared_loop().start(self._tell("POST", f"jobs/{id}/use", on_done))

    def _follow(self, job: HttpJob) -> HttpJob:
        shared_loop().start(job.run())
        return job

    def flag(self, request_id: str, reason: str, on_done: Callable[[str], None]) -> None:
        """Have the server keep a call; see ``FlagCaller``."""
        flag = {"request_id": request_id, "reason": reason}
        path = f"services/{url_path(self.name)}/flag"
        shared_loop().start(self._tell("POST", path, on_done, json=flag))

    async def _tell(
        self, method: str, path: str, on_done: Callable[[str], None], **options: Any
    ) -> None:
        """Send a request, and call ``on_done`` with ``""`` or why it failed."""
        try:
            response = await self.request(method, path, **options)
            problem = ""
            if response.status_code >= 400:
                problem = _rejection(response.content, "").message
        except (httpx.HTTPError, httpx.StreamError):
            problem = "The server cannot be reached. Try again."
        on_done(problem)
