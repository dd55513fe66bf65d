"""Jobs of an app page over HTTP: submit, follow to the end, cancel, and read the result."""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx

from easymlnb.contract.errors import (
    CallCancelled,
    EasyMLNBError,
    ServerUnreachable,
    TooLarge,
)
from easymlnb.forms.call_protocol import Event, Failed, JobModel, JobStatus, Succeeded
from easymlnb.forms.learning_curves import read_curves

POLL_SECONDS = 2.0
"""Seconds between two reads of a running job; its end is reported at once."""

RETRY_SECONDS = 2.0
"""Seconds until a server that cannot be reached is asked again."""

UNREACHABLE = "The server cannot be reached. The job continues; trying again."
GONE = "The job was deleted, or belongs to another user."

Request = Callable[..., Any]
"""Send a request; see ``HttpCaller.request``."""


class HttpJob:
    """A job that the page follows. ``submit`` sends the request for it, unless it has an ID."""

    def __init__(
        self, request: Request, id: str, submit: dict[str, Any], on_status: Callable[..., None]
    ) -> None:
        self._request = request
        self._id = id
        self._submit = submit
        self._on_status = on_status
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._left = False
        self._status = JobStatus(id)
        self._cancelled = False

    def cancel(self) -> None:
        """Cancel the job at its next status, which is at most a moment away."""
        self._cancelled = True
        self._interrupt()

    def leave(self) -> None:
        """Follow the job no longer."""
        self._left = True
        self._interrupt()

    def _interrupt(self) -> None:
        if self._loop is not None and self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)

    async def run(self) -> None:
        """Submit the job, and report its status until it has ended."""
        self._loop = asyncio.get_running_loop()
        while not (self._left or self._status.ended):
            self._task = asyncio.ensure_future(self._follow())
            # ``cancel`` and ``leave`` interrupt the wait, not the job.
            await asyncio.wait({self._task})
            if not self._task.cancelled() and (error := self._task.exception()) is not None:
                raise error

    async def _follow(self) -> None:
        wait = 0.0
        while not (self._left or self._status.ended):
            try:
                if not self._id:
                    await self._start()
                if self._cancelled and self._id:
                    self._cancelled = False
                    await self._request("POST", f"jobs/{self._id}/cancel")
                await self._read(wait)
                wait = POLL_SECONDS
            except (httpx.HTTPError, httpx.StreamError, ValueError, KeyError):
                self._report(problem=UNREACHABLE)
                await asyncio.sleep(RETRY_SECONDS)

    async def _start(self) -> None:
        # The idempotency key in the request makes a repetition harmless.
        response = await self._request("POST", **self._submit)
        if response.status_code in (502, 503, 504):
            raise ServerUnavailable
        content = response.json()
        if response.status_code == 202:
            self._id = str(content["id"])
            self._report(id=self._id, problem="")
        else:
            self._report(state="failed", problem=_message(content))

    async def _read(self, wait: float) -> None:
        if not self._id:
            return
        response = await self._request("GET", f"jobs/{self._id}", params={"wait": wait})
        if response.status_code in (401, 403, 404):
            self._report(state="failed", problem=GONE)
            return
        response.raise_for_status()
        job = response.json()
        error = job["error"] or {}
        cancelled = job["state"] == "cancelled"
        self._report(
            state=str(job["state"]),
            fraction=min(1.0, max(0.0, float(job["progress"]))),
            text=str(job["progress_text"] or job["reason"]),
            position=job["position"],
            problem="" if cancelled else str(error.get("message", "")),
            curves=read_curves(job.get("metrics", ())),
            model=_model(job.get("model")),
        )

    def _report(self, **changed: Any) -> None:
        known = {name: getattr(self._status, name) for name in JobStatus.__slots__}
        status = JobStatus(**known | changed)
        if status != self._status and not self._left:
            self._status = status
            self._on_status(status)


class ServerUnavailable(httpx.HTTPError):
    """The server is starting, stopping or full; the request can be repeated."""

    def __init__(self) -> None:
        super().__init__("The server is not available.")


class JobResult:
    """A read of the result of a job."""

    def __init__(
        self, request: Request, id: str, on_event: Callable[[Event], None], largest: int
    ) -> None:
        self._request = request
        self._id = id
        self._on_event = on_event
        self._largest = largest
        self._stopped = False

    def stop(self) -> None:
        """Show nothing when it arrives."""
        self._stopped = True

    async def run(self) -> None:
        """Read the result and report it."""
        try:
            event = await self._read()
        except EasyMLNBError as error:
            event = Failed(error)
        except (httpx.HTTPError, httpx.StreamError, ValueError, RecursionError):
            event = Failed(ServerUnreachable("The result could not be read. Try again."))
        self._on_event(Failed(CallCancelled()) if self._stopped else event)

    async def _read(self) -> Succeeded | Failed:
        began = time.monotonic()
        response = await self._request("GET", f"jobs/{self._id}/result")
        if len(response.content) > self._largest:
            raise TooLarge(f"The result exceeds the page's limit of {self._largest >> 20} MB.")
        content = json.loads(response.content or b"null") or {}
        if response.status_code != 200:
            raise ServerUnreachable(_message(content))
        seconds = time.monotonic() - began
        with suppress(KeyError, TypeError):
            job = (await self._request("GET", f"jobs/{self._id}")).json()
            seconds = job["ended"] - job["began"]
        return Succeeded(content.get("parts", []), seconds)


def _model(found: Any) -> JobModel | None:
    """Return the version of a model that a job has made."""
    return JobModel(**found) if isinstance(found, dict) else None


def _message(content: Any) -> str:
    error = content.get("error") if isinstance(content, dict) else None
    return str((error or {}).get("message", "The job could not be read."))
