"""Jobs as Python objects, and the operations behind them, for both clients."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Protocol
from urllib.parse import quote

from easymlnb.client import job_tables, operations
from easymlnb.client.decoding import DownloadedFile
from easymlnb.client.job_events import ENDED, Event, JobEventReader
from easymlnb.client.messages import Operation, Request, raise_for_error
from easymlnb.client.operations import CallOptions
from easymlnb.client.patience import Patience
from easymlnb.contract.errors import EasyMLNBError, JobNotFinished
from easymlnb.contract.jsonschema import Schema
from easymlnb.contract.spec import ServiceSpec

# operations


def path(id: str, *more: str) -> str:
    """Return the path of a job's route."""
    return "/".join(("jobs", quote(id, safe=""), *more))


def get(id: str, wait: float = 0.0) -> Operation[dict[str, Any]]:
    """Get a job, when it has ended or after ``wait`` seconds."""
    params = {"wait": f"{wait:g}"} if wait else {}
    request = Request("GET", path(id), wait + operations.EXTRA_SECONDS, params=params)
    return dict(raise_for_error((yield request)).json())


def submit_request(spec: ServiceSpec, request: Request, options: CallOptions) -> Request:
    """Return the request that submits a call as a job."""
    headers = {name: text for name, text in request.headers.items() if name != "X-Timeout"}
    params: dict[str, Any] = {}
    if options.lane:
        params["lane"] = options.lane
    if options.attempts != 1:
        params["attempts"] = options.attempts
    if options.timeout is not None:
        params["timeout"] = f"{options.timeout:g}"
    wanted = {
        "X-Easymlnb-Webhook": options.webhook,
        "X-Easymlnb-Webhook-Events": ",".join(options.webhook_events),
        "X-Easymlnb-Webhook-Secret": options.webhook_secret,
    }
    headers |= {name: text for name, text in wanted.items() if text}
    where = operations.service_path(spec.name, "jobs")
    seconds = operations.EXTRA_SECONDS + 30
    return replace(request, path=where, headers=headers, params=params, seconds=seconds)


def submit(request: Request) -> Operation[dict[str, Any]]:
    """Submit a job and return its id and state."""
    return dict(raise_for_error((yield request)).json())


def find(chosen: Mapping[str, Any]) -> Operation[list[dict[str, Any]]]:
    """Get jobs, newest first."""
    params = {name: value for name, value in chosen.items() if value}
    found = raise_for_error((yield Request("GET", "jobs", params=params))).json()
    return list(found["jobs"])


def result(id: str, output: Schema) -> Operation[Any]:
    """Get the result of a job that has ended; raises its error."""
    response = raise_for_error((yield Request("GET", path(id, "result"), 300.0)))
    return operations.decode_result(response, output)


def raw_result(id: str) -> Operation[tuple[bytes, str]]:
    """Get the bytes of the result of a job that has ended, and its file name."""
    response = raise_for_error((yield Request("GET", path(id, "result"), 300.0)))
    name = operations.filename(response.headers.get("content-disposition", ""))
    return response.body, name or f"{id}.json"


def table(id: str, kind: str) -> Operation[Any]:
    """Get the result of a batch or a sweep as a table; files as a ``DownloadedFile``."""
    found = yield from result(id, {})
    return job_tables.as_table(job_tables.trial_rows(found)) if kind == "sweep" else found


def trials(id: str) -> Operation[Any]:
    """Get the table of a sweep so far."""
    found = raise_for_error((yield Request("GET", path(id, "trials")))).json()
    return job_tables.as_table(job_tables.trial_rows(found))


def errors(id: str, labels: list[str]) -> Operation[Any]:
    """Get the table of the rows of a batch that failed; ``labels`` are those of its files."""
    has_errors = job_tables.ERRORS in labels
    return job_tables.error_table(
        (yield from file(id, job_tables.ERRORS)).data if has_errors else b""
    )


def log(id: str, start: int = 0) -> Operation[str]:
    """Get what a job printed."""
    request = Request("GET", path(id, "log"), params={"from": start} if start else {})
    return raise_for_error((yield request)).body.decode(errors="replace")


def file(id: str, label: str) -> Operation[DownloadedFile]:
    """Get a file that a job saved."""
    where = path(id, "files", quote(label, safe=""))
    response = raise_for_error((yield Request("GET", where, 300.0)))
    return DownloadedFile(response.body, label, response.content_type)


def change(id: str, action: str) -> Operation[dict[str, Any]]:
    """Cancel a job, or retry it."""
    return dict(raise_for_error((yield Request("POST", path(id, action)))).json())


def remove(id: str) -> Operation[None]:
    """Delete a job that has ended, or cancel it."""
    raise_for_error((yield Request("DELETE", path(id))))


# the objects


class JobClient(Protocol):
    """What a job needs of its client."""

    def _run(self, operation: Operation[Any]) -> Any: ...

    def _events(self, request: Request, reader: JobEventReader) -> Any: ...

    def _output(self, service: str) -> Any: ...


class _JobBase:
    """A job, by its id and the last that its client has read about it."""

    def __init__(self, client: JobClient, info: dict[str, Any]) -> None:
        self._client = client
        self._info = info
        self._webhook_secret = str(info.get("webhook_secret", ""))

    @property
    def id(self) -> str:
        """The job's id."""
        return str(self._info["id"])

    @property
    def url(self) -> str:
        """The job's permanent URL."""
        return str(self._info["url"])

    @property
    def webhook_secret(self) -> str:
        """The secret that signs the messages of this job's webhook, known to who submitted it."""
        return self._webhook_secret

    def __repr__(self) -> str:
        return f"<job {self.id}: {self._info['state']}>"


class Job(_JobBase):
    """A call that outlives its request: ``job = client.f.submit(x=1)``.

    ``state`` is ``queued``, ``running``, ``succeeded``, ``failed`` or ``cancelled``.
    """

    def info(self) -> dict[str, Any]:
        """Return all that the server knows about the job."""
        self._info = self._client._run(get(self.id))
        return self._info

    @property
    def state(self) -> str:
        """The job's state now."""
        return str(self.info()["state"])

    @property
    def progress(self) -> float:
        """The job's progress now, from 0 to 1."""
        return float(self.info()["progress"])

    @property
    def log(self) -> str:
        """What the job has printed so far."""
        return str(self._client._run(log(self.id)))

    @property
    def files(self) -> list[str]:
        """The labels of the files that the job saved; ``file`` reads one."""
        return [file["label"] for file in self.info()["files"]]

    def file(self, label: str) -> DownloadedFile:
        """Return a file that the job saved."""
        found: DownloadedFile = self._client._run(file(self.id, label))
        return found

    def wait(self, timeout: float | None = None) -> "Job":
        """Wait until the job has ended, or raise ``JobNotFinished`` after ``timeout`` seconds."""
        until = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            left = min(operations.POLL, max(0.0, until - time.monotonic()))
            self._info = self._patiently(partial(get, self.id, left), until)
            if self._info["state"] in ENDED:
                return self
            if left <= 0:
                raise JobNotFinished(self._info["state"])

    def _patiently(self, make: Callable[[], Operation[Any]], until: float = math.inf) -> Any:
        """Run an operation, also while the server is started again."""
        patience = Patience(until)
        while True:
            try:
                return self._client._run(make())
            except EasyMLNBError as error:
                time.sleep(patience.pause(error))

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the job and return its result, or raise its error.

        That of a batch or a sweep is a table.
        """
        self.wait(timeout)
        if self._info["kind"] in job_tables.KINDS:
            return self._patiently(partial(table, self.id, self._info["kind"]))
        output = self._client._output(self._info["service"])
        return self._patiently(partial(result, self.id, output))

    @property
    def errors(self) -> Any:
        """The table of the rows of a batch that failed: row (from 1), code, message."""
        return self._client._run(errors(self.id, self.files))

    @property
    def trials(self) -> Any:
        """The table of a sweep, also while it runs."""
        return self._client._run(trials(self.id))

    def events(self) -> Iterator[Event]:
        """Yield what happens to the job until it has ended, also over lost connections.

        Each event has a ``kind``: ``state``, ``progress``, ``log``, ``metric``, ``file`` or
        ``checkpoint``.
        """
        reader, patience = JobEventReader(), Patience()
        while not reader.ended:
            reader = reader.again()
            try:
                yield from self._client._events(reader.request(self.id), reader)
            except EasyMLNBError as error:
                if reader.answered:
                    patience.answered()
                time.sleep(patience.pause(error))

    def cancel(self) -> None:
        """Cancel the job; raises ``JobEnded`` if it has ended."""
        self._info |= self._client._run(change(self.id, "cancel"))

    def retry(self) -> "Job":
        """Submit the job again and return the new one."""
        return Job(self._client, self._client._run(change(self.id, "retry")))

    def remove(self) -> None:
        """Delete the job with its result and files, or cancel it if it has not ended."""
        self._client._run(remove(self.id))


class AsyncJob(_JobBase):
    """A job of the async client; ``await job`` returns its result.

    ``state`` and ``progress`` are those of the last ``await job.info()`` or ``await job.wait()``.
    """

    @property
    def state(self) -> str:
        """The job's state as it was last read."""
        return str(self._info["state"])

    @property
    def progress(self) -> float:
        """The job's progress as it was last read, from 0 to 1."""
        return float(self._info.get("progress", 0.0))

    def __await__(self) -> Generator[Any, None, Any]:
        return self.result().__await__()

    async def info(self) -> dict[str, Any]:
        """Return all that the server knows about the job."""
        self._info = await self._client._run(get(self.id))
        return self._info

    async def log(self) -> str:
        """Return what the job has printed so far."""
        return str(await self._client._run(log(self.id)))

    async def files(self) -> list[str]:
        """Return the labels of the files that the job saved."""
        return [file["label"] for file in (await self.info())["files"]]

    async def file(self, label: str) -> DownloadedFile:
        """Return a file that the job saved."""
        found: DownloadedFile = await self._client._run(file(self.id, label))
        return found

    async def wait(self) -> "AsyncJob":
        """Wait until the job has ended."""
        while True:
            self._info = await self._patiently(partial(get, self.id, operations.POLL))
            if self._info["state"] in ENDED:
                return self

    async def _patiently(self, make: Callable[[], Operation[Any]]) -> Any:
        """Run an operation, also while the server is started again."""
        patience = Patience()
        while True:
            try:
                return await self._client._run(make())
            except EasyMLNBError as error:
                await asyncio.sleep(patience.pause(error))

    async def result(self) -> Any:
        """Wait for the job and return its result, or raise its error."""
        await self.wait()
        if self._info["kind"] in job_tables.KINDS:
            return await self._patiently(partial(table, self.id, self._info["kind"]))
        output = await self._client._output(self._info["service"])
        return await self._patiently(partial(result, self.id, output))

    async def errors(self) -> Any:
        """Return the table of the rows of a batch that failed, see ``Job.errors``."""
        return await self._client._run(errors(self.id, await self.files()))

    async def trials(self) -> Any:
        """Return the table of a sweep, also while it runs."""
        return await self._client._run(trials(self.id))

    async def events(self) -> AsyncIterator[Event]:
        """Yield what happens to the job until it has ended, see ``Job.events``."""
        reader, patience = JobEventReader(), Patience()
        while not reader.ended:
            reader = reader.again()
            try:
                async for event in self._client._events(reader.request(self.id), reader):
                    yield event
            except EasyMLNBError as error:
                if reader.answered:
                    patience.answered()
                await asyncio.sleep(patience.pause(error))

    async def cancel(self) -> None:
        """Cancel the job; raises ``JobEnded`` if it has ended."""
        self._info |= await self._client._run(change(self.id, "cancel"))

    async def retry(self) -> "AsyncJob":
        """Submit the job again and return the new one."""
        return AsyncJob(self._client, await self._client._run(change(self.id, "retry")))

    async def remove(self) -> None:
        """Delete the job with its result and files, or cancel it if it has not ended."""
        await self._client._run(remove(self.id))


class Jobs:
    """``client.jobs``: your jobs on the server."""

    def __init__(self, client: JobClient) -> None:
        self._client = client

    def __getitem__(self, id: str) -> Job:
        """Return a job; raises ``JobNotFound``."""
        return Job(self._client, self._client._run(get(id)))

    def list(self, *, state: str = "", service: str = "", limit: int = 50) -> "list[Job]":
        """Return jobs, newest first, of one state or service if that is given."""
        chosen = {"state": state, "service": service, "limit": limit}
        return [Job(self._client, info) for info in self._client._run(find(chosen))]


class AsyncJobs:
    """``client.jobs`` of the async client."""

    def __init__(self, client: JobClient) -> None:
        self._client = client

    async def get(self, id: str) -> AsyncJob:
        """Return a job; raises ``JobNotFound``."""
        return AsyncJob(self._client, await self._client._run(get(id)))

    async def list(
        self, *, state: str = "", service: str = "", limit: int = 50
    ) -> "list[AsyncJob]":
        """Return jobs, newest first, of one state or service if that is given."""
        chosen = {"state": state, "service": service, "limit": limit}
        return [AsyncJob(self._client, info) for info in await self._client._run(find(chosen))]
