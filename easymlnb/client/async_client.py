"""The client for ``async`` code: the same flows, awaited."""

import asyncio
import time
from collections.abc import AsyncIterator, Generator, Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from easymlnb.client import operations, sharing, uploads
from easymlnb.client import transport as transports
from easymlnb.client.decoding import decode
from easymlnb.client.discovery import Server
from easymlnb.client.messages import Request, Response, checked
from easymlnb.client.operations import CallOptions, Operation, RawResponse
from easymlnb.client.service_function import RemoteService, as_function, may_be_service
from easymlnb.client.sse import EventReader
from easymlnb.contract.errors import EasyMLNBError
from easymlnb.contract.spec import ServiceSpec

T = TypeVar("T")
NOTHING: Mapping[str, Any] = {}


class AsyncCall:
    """A call that is made when it is awaited, or looped over with ``async for``.

    Awaiting a service that streams gives all its results in one list.
    """

    def __init__(
        self,
        client: "AsyncClient",
        name: str,
        given: tuple[Any, ...],
        values: Mapping[str, Any],
        how: CallOptions,
    ) -> None:
        self._client = client
        self._name = name
        self._given = given
        self._values = values
        self._how = how

    def __await__(self) -> Generator[Any, None, Any]:
        return self._result().__await__()

    async def __aiter__(self) -> AsyncIterator[Any]:
        spec, request = await self._request()
        reader = EventReader(spec.output, self._how.progress)
        async for item in self._client._events(request, reader):
            yield item
        if not spec.stream:
            yield reader.value

    async def _request(self, sent: Mapping[str, Any] = NOTHING) -> tuple[ServiceSpec, Request]:
        spec = await self._client.spec(self._name)
        values = {**operations.named(spec, self._given, self._values), **sent}
        # Reading files and coding images takes a while: not on the event loop.
        return spec, await asyncio.to_thread(operations.call_request, spec, values, self._how)

    async def _result(self) -> Any:
        client = self._client
        spec = await client.spec(self._name)
        files = uploads.large(spec, operations.named(spec, self._given, self._values))
        ids: dict[str, str] = {}
        try:
            for name, path in files.items():
                ids[name] = await client._run(uploads.send(spec.name, name, path))
            sent = {name: uploads.value(id, files[name]) for name, id in ids.items()}
            return await self._result_with(sent, ",".join(ids.values()))
        finally:
            for id in ids.values():
                with suppress(EasyMLNBError):
                    await client._run(uploads.forget(id))

    async def _result_with(self, sent: Mapping[str, Any], ids: str) -> Any:
        spec, request = await self._request(sent)
        if ids:
            request.headers[uploads.HEADER] = ids
        if not spec.stream and self._how.progress is None:
            return await self._client._run(
                operations.call(self._client._specs, spec.name, request, spec)
            )
        reader = EventReader(spec.output, self._how.progress)
        items = [item async for item in self._client._events(request, reader)]
        return items if spec.stream else reader.value


class AsyncClient:
    """The client for ``async`` code: ``await c.roll(sides=6)``, ``async for x in c.count(n=3)``.

    Methods and parameters are those of ``Client``. A call is made when it is awaited or iterated;
    awaiting a service that streams returns the list of its results. ``help(c.roll)`` knows the
    parameters after ``await c.spec("roll")`` or a first call.
    """

    def __init__(
        self, server: Server, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._server = server
        self._http = httpx.AsyncClient(**transports.settings(server), transport=transport)
        self._specs = operations.SpecCache(time.monotonic, server.shared)

    def __getattr__(self, name: str) -> RemoteService:
        if not may_be_service(name):
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")
        return self[name]

    def __getitem__(self, name: str) -> RemoteService:
        def call(given: tuple[Any, ...], values: dict[str, Any], how: CallOptions) -> AsyncCall:
            return AsyncCall(self, name, given, values, how)

        return as_function(name, self._specs.known(name), call, CallOptions())

    def __repr__(self) -> str:
        return f"<easymlnb async client of {self._server.url}>"

    async def full_name(self, name: str) -> str:
        """Return the name with its owner on a shared service; a short name is your own."""
        return await self._run(operations.full_name(self._specs, name))

    async def services(self) -> list[dict[str, Any]]:
        """Return name, title, state, version and more of each service."""
        return await self._run(operations.services())

    async def service(self, name: str) -> dict[str, Any]:
        """Return a service's spec with its state and version."""
        return dict(await self._run(operations.of_service(self._specs, name)))

    async def spec(self, name: str) -> ServiceSpec:
        """Return a service's spec; it is cached for 30 seconds."""
        return await self._run(operations.spec(self._specs, name))

    async def versions(self, name: str) -> list[dict[str, Any]]:
        """Return the published versions of a service, oldest first."""
        return list(
            await self._run(operations.of_service(self._specs, name, "versions", key="versions"))
        )

    async def log(self, name: str) -> list[dict[str, Any]]:
        """Return the last 200 calls of a service with their prints, newest last."""
        return list(await self._run(operations.of_service(self._specs, name, "log", key="entries")))

    async def health(self) -> dict[str, Any]:
        """Return the server's state: whether it accepts calls."""
        return await self._run(operations.health())

    async def remove(self, name: str) -> None:
        """Remove a published service with all its versions."""
        await self._run(operations.remove(self._specs, name))

    async def access(self, name: str) -> dict[str, Any]:
        """Return who may call a service: ``users``, ``groups``, ``everyone``, ``public``."""
        return await self._run(operations.access(self._specs, name))

    async def share(
        self,
        name: str,
        *,
        users: Iterable[str] = (),
        groups: Iterable[str] = (),
        everyone: bool = False,
        public: bool = False,
    ) -> dict[str, Any]:
        """Replace who may call a service of yours, and return the new setting.

        Parameters
        ----------
        name : str
        users, groups : iterable of str, optional
            Names at the Hub.
        everyone : bool, default False
            Everyone who can log in to the Hub.
        public : bool, default False
            Also visitors without a login, on the app page.

        Raises
        ------
        NotShared
            The server is not a Hub's shared service.
        """
        wanted = sharing.wanted(users, groups, everyone, public)
        return await self._run(operations.access(self._specs, name, wanted))

    def call(self, name: str, values: Mapping[str, Any] | None = None, **options: Any) -> AsyncCall:
        """Call a service with its values in one mapping.

        Parameters
        ----------
        name : str
        values : mapping, optional
            Values of the parameters; omitted ones take their defaults.
        **options
            ``timeout``, ``progress``, ``accept``, ``live``, ``priority``, ``idempotency_key``.

        Raises
        ------
        InvalidInput
            ``details`` names each invalid field.
        CallFailed, CallerError, DeadlineExceeded, Busy, WorkerLost
            The call failed; see the reference of errors.
        ServiceNotFound, ServerUnreachable
            There is no such service, or no server.
        """
        return AsyncCall(self, name, (), values or {}, CallOptions(**options))

    async def raw(
        self, name: str, values: Mapping[str, Any] | None = None, **options: Any
    ) -> RawResponse:
        """Call a service and return the response unchanged; with ``progress`` always as JSON."""
        spec = await self.spec(name)
        how = operations.as_raw(CallOptions(**options))
        request = await asyncio.to_thread(operations.call_request, spec, values or {}, how)
        if how.progress is None:
            return await self._run(operations.fetch(self._specs, name, request))
        reader = EventReader({}, how.progress)
        items = [item async for item in self._events(request, reader)]
        return operations.raw_json(items or reader.value)

    async def _run(self, flow: Operation[T]) -> T:
        try:
            request = next(flow)
            while True:
                request = flow.send(await self._send(request))
        except StopIteration as done:
            found: T = done.value
            return found

    async def _send(self, request: Request) -> Response:
        with transports.translated(self._server, request.seconds):
            response = await self._http.request(**transports.arguments(request))
            return transports.answer(response, response.content)

    async def _events(self, request: Request, reader: EventReader) -> AsyncIterator[Any]:
        with transports.translated(self._server, request.seconds):
            async with self._http.stream(**transports.arguments(request)) as response:
                if operations.EVENT_STREAM not in response.headers.get("content-type", ""):
                    answer = checked(transports.answer(response, await response.aread()))
                    reader.finish(decode(answer.content_type, answer.body, reader.output))
                    return
                async for chunk in response.aiter_bytes():
                    for item in reader.feed(chunk):
                        yield item
        reader.end()

    async def close(self) -> None:
        """Close the connections; the client cannot be used afterwards."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
