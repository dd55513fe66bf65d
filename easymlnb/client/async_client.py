"""The client for ``async`` code: the same operations, awaited."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx

from easymlnb.client import batches, jobs, operations, uploads
from easymlnb.client import transport as transports
from easymlnb.client.admin import AsyncAdmin
from easymlnb.client.async_outbox import AsyncOutbox
from easymlnb.client.batches import BatchOptions
from easymlnb.client.decoding import decode
from easymlnb.client.discovery import Server
from easymlnb.client.job_events import JobEventReader
from easymlnb.client.jobs import AsyncJob, AsyncJobs
from easymlnb.client.messages import Operation, Request, Response, raise_for_error
from easymlnb.client.models import AsyncModels
from easymlnb.client.operations import CallOptions, RawResponse
from easymlnb.client.service_function import (
    Arguments,
    MapOptions,
    RemoteService,
    SweepArguments,
    as_function,
    may_be_service,
    split_item,
)
from easymlnb.client.sse import EventReader
from easymlnb.client.template_models import AsyncTemplates
from easymlnb.contract.errors import EasyMLNBError, ServiceNotFound
from easymlnb.contract.jsonschema import Schema
from easymlnb.contract.spec import ServiceSpec

T = TypeVar("T")
Uploaded = dict[str, dict[str, str]]


class AsyncCall:
    """A call that is made when it is awaited, or looped over with ``async for``.

    Awaiting a service that streams returns all its results in one list.
    """

    def __init__(
        self, client: "AsyncClient", name: str, arguments: Arguments, options: CallOptions
    ) -> None:
        self._client = client
        self._name = name
        self._arguments = arguments
        self._options = options

    def __await__(self) -> Generator[Any, None, Any]:
        return self._result().__await__()

    async def __aiter__(self) -> AsyncIterator[Any]:
        spec, values = await self._bound()
        request = await self._request(spec, values)
        reader = EventReader(spec.output, self._options.progress)
        async for item in self._client._events(request, reader):
            yield item
        if not spec.stream:
            yield reader.value

    async def raw(self) -> RawResponse:
        """Make the call and return the response as it arrived."""
        self._options = operations.as_raw(self._options)
        spec, values = await self._bound()
        request = await self._request(spec, values)
        if self._options.progress is None:
            return await self._client._run(operations.fetch(self._client._specs, spec, request))
        reader = EventReader({}, self._options.progress)
        items = [item async for item in self._client._events(request, reader)]
        return operations.raw_json(items or reader.value)

    async def submit(self) -> AsyncJob:
        """Submit the call as a job."""
        client = self._client
        spec, values = await self._bound()
        async with self._uploaded(spec, values) as uploaded:
            request = await self._request(spec, values, uploaded)
            request = jobs.submit_request(spec, request, self._options)
            return AsyncJob(client, await client._run(jobs.submit(request)))

    async def _bound(self) -> tuple[ServiceSpec, dict[str, Any]]:
        spec = await self._client.admin.spec(self._name)
        return spec, operations.bind_arguments(spec, *self._arguments)

    async def _request(
        self, spec: ServiceSpec, values: Mapping[str, Any], uploaded: Uploaded | None = None
    ) -> Request:
        # Reading files and encoding images takes a while: not on the event loop.
        return await asyncio.to_thread(
            operations.call_request, spec, values, self._options, uploaded
        )

    async def _result(self) -> Any:
        client = self._client
        spec, values = await self._bound()
        async with self._uploaded(spec, values) as uploaded:
            request = await self._request(spec, values, uploaded)
            if not spec.stream and self._options.progress is None:
                return await client._run(operations.call(client._specs, spec, request))
            reader = EventReader(spec.output, self._options.progress)
            items = [item async for item in client._events(request, reader)]
            return items if spec.stream else reader.value

    @asynccontextmanager
    async def _uploaded(
        self, spec: ServiceSpec, values: Mapping[str, Any]
    ) -> AsyncGenerator[Uploaded]:
        """Upload the large files of a call, and remove them when it is over."""
        run = self._client._run
        uploaded: Uploaded = {}
        try:
            for field, path in uploads.large_files(spec, values).items():
                uploaded[field] = await run(uploads.send(spec.name, field, path))
            yield uploaded
        finally:
            for file in uploaded.values():
                with suppress(EasyMLNBError):
                    await run(uploads.remove(file))


class AsyncClient:
    """The client for ``async`` code: ``await c.roll(sides=6)``, ``async for x in c.count(n=3)``.

    Its attributes, options and ``admin`` are those of ``Client``. A call is made when it is awaited
    or iterated; awaiting a service that streams returns the list of its results. ``help(c.roll)``
    shows the parameters after ``await c.admin.spec("roll")`` or a first call.
    """

    admin: AsyncAdmin
    """The server's services, their versions, logs and access; await each method."""

    models: AsyncModels
    """The trained models on the server; await each method."""

    templates: AsyncTemplates
    """Models without code, made from data; await each method."""

    jobs: AsyncJobs
    """Your jobs on the server; await each method."""

    def __init__(
        self, server: Server, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._server = server
        self._http = httpx.AsyncClient(**transports.settings(server), transport=transport)
        self._specs = operations.SpecCache(time.monotonic, server.shared)
        self.admin = AsyncAdmin(self._run, self._specs)
        self.jobs = AsyncJobs(self)
        self.templates = AsyncTemplates(self._run, self._specs)
        self.models = AsyncModels(self._run, self._specs)

    def __getattr__(self, name: str) -> RemoteService:
        if not may_be_service(name):
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")
        return self[name]

    def __getitem__(self, name: str) -> RemoteService:
        return as_function(self, name, self._specs.get(name), CallOptions())

    def __repr__(self) -> str:
        return f"<easymlnb async client of {self._server.url}>"

    def _call(self, name: str, arguments: Arguments, options: CallOptions) -> AsyncCall:
        return AsyncCall(self, name, arguments, options)

    async def _raw(self, name: str, arguments: Arguments, options: CallOptions) -> RawResponse:
        return await AsyncCall(self, name, arguments, options).raw()

    async def _submit(self, name: str, arguments: Arguments, options: CallOptions) -> AsyncJob:
        return await AsyncCall(self, name, arguments, options).submit()

    async def _batch(self, name: str, table: Any, options: BatchOptions) -> AsyncJob:
        spec = await self.admin.spec(name)
        return AsyncJob(self, await self._run(batches.submit(spec, table, options)))

    async def _sweep(self, name: str, what: SweepArguments, options: CallOptions) -> AsyncJob:
        spec = await self.admin.spec(name)
        operation = batches.sweep(spec, what.grid, what.points, what.values, options)
        return AsyncJob(self, await self._run(operation))

    async def _map(
        self, name: str, items: Iterable[Any], how: MapOptions, options: CallOptions
    ) -> AsyncIterator[Any]:
        waiting: deque[asyncio.Task[Any]] = deque()
        done = 0
        try:
            for item in items:
                call = AsyncCall(self, name, split_item(item), options)
                waiting.append(asyncio.create_task(call._result()))
                if len(waiting) < how.max_concurrency:
                    continue
                result, done = await waiting[0], done + 1
                waiting.popleft()
                how.report(done, items)
                yield result
            while waiting:
                result, done = await waiting[0], done + 1
                waiting.popleft()
                how.report(done, items)
                yield result
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _output(self, service: str) -> Schema:
        try:
            return (await self.admin.spec(service)).output
        except ServiceNotFound:
            return {}  # it was removed since

    async def outbox(self, path: str | Path) -> AsyncOutbox:
        """Return the calls that wait in a file of SQLite until the server can be reached."""
        return await AsyncOutbox.open(self, path)

    async def _run(self, operation: Operation[T]) -> T:
        try:
            request = next(operation)
            while True:
                request = operation.send(await self._send(request))
        except StopIteration as done:
            result: T = done.value
            return result

    async def _send(self, request: Request) -> Response:
        with transports.translate_errors(self._server, request.seconds):
            if request.target is not None:
                return await self._download(request, request.target)
            response = await self._http.request(**transports.arguments(request, awaited=True))
            return transports.read(response, response.content)

    async def _download(self, request: Request, target: Path) -> Response:
        async with self._http.stream(**transports.arguments(request, awaited=True)) as stream:
            if stream.status_code != 200:
                return transports.read(stream, await stream.aread())
            with await asyncio.to_thread(target.open, "wb") as file:
                async for chunk in stream.aiter_bytes(transports.CHUNK):
                    await asyncio.to_thread(file.write, chunk)
            return transports.read(stream, b"")

    async def _events(
        self, request: Request, reader: EventReader | JobEventReader
    ) -> AsyncIterator[Any]:
        with transports.translate_errors(self._server, request.seconds):
            async with self._http.stream(**transports.arguments(request)) as stream:
                if operations.EVENT_STREAM not in stream.headers.get("content-type", ""):
                    response = raise_for_error(transports.read(stream, await stream.aread()))
                    reader.finish(decode(response.content_type, response.body, reader.output))
                    return
                async for chunk in stream.aiter_bytes():
                    for item in reader.feed(chunk):
                        yield item
        reader.end()

    async def close(self) -> None:
        """Close the connections; the client cannot be used afterwards."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()
