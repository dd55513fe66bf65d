"""The client for ordinary code."""

import time
from collections.abc import Iterable, Iterator, Mapping
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
from easymlnb.client.service_function import (
    NoSuchService,
    RemoteService,
    as_function,
    may_be_service,
)
from easymlnb.client.sse import EventReader
from easymlnb.contract import names
from easymlnb.contract.errors import EasyMLNBError, ServiceNotFound
from easymlnb.contract.spec import ServiceSpec

T = TypeVar("T")


class Client:
    """A client of one server.

    ``c.roll(sides=6)`` calls the service ``roll``. ``c["log"](...)`` does the same for names that
    the client uses itself. A service that streams returns an iterator of its results.
    ``c.roll.options(...)`` accepts ``timeout`` (seconds), ``progress`` (a function of a fraction
    and a text), ``accept`` (a media type), ``live``, ``priority`` and ``idempotency_key``.

    Make one with ``ml.connect()``. It is a context manager; ``transport`` replaces the network in
    tests.
    """

    def __init__(self, server: Server, *, transport: httpx.BaseTransport | None = None) -> None:
        self._server = server
        self._http = httpx.Client(**transports.settings(server), transport=transport)
        self._specs = operations.SpecCache(time.monotonic, server.shared)

    # services as functions

    def __getattr__(self, name: str) -> RemoteService:
        if not may_be_service(name):
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")
        try:
            return self[name]
        except ServiceNotFound as error:
            raise NoSuchService(name) from error

    def __getitem__(self, name: str) -> RemoteService:
        """Return the service; raises ``ServiceNotFound``."""

        def call(given: tuple[Any, ...], values: dict[str, Any], how: CallOptions) -> Any:
            spec = self.spec(name)
            return self._call(spec, operations.named(spec, given, values), how)

        return as_function(name, self.spec(name), call, CallOptions())

    def __contains__(self, name: object) -> bool:
        with suppress(ServiceNotFound):  # no name at all
            return self.full_name(str(name)) in set(self)
        return False

    def __iter__(self) -> Iterator[str]:
        return iter([operations.listed_name(service) for service in self.services()])

    def __dir__(self) -> list[str]:
        found: list[str] = []
        with suppress(EasyMLNBError):  # completion must not fail because a server is away
            listed = [names.split(name) for name in self]
            found = [plain for owner, plain in listed if owner in ("", self._me())]
        return [*super().__dir__(), *found]

    def _me(self) -> str:
        self.full_name("any")
        return self._specs.me

    def __repr__(self) -> str:
        return f"<easymlnb client of {self._server.url}>"

    # what the server knows

    def full_name(self, name: str) -> str:
        """Return the name with its owner on a shared service; a short name is your own."""
        return self._run(operations.full_name(self._specs, name))

    def services(self) -> list[dict[str, Any]]:
        """Return name, title, state, version and more of each service."""
        return self._run(operations.services())

    def service(self, name: str) -> dict[str, Any]:
        """Return a service's spec with its state and version."""
        return dict(self._run(operations.of_service(self._specs, name)))

    def spec(self, name: str) -> ServiceSpec:
        """Return a service's spec; it is cached for 30 seconds."""
        return self._run(operations.spec(self._specs, name))

    def versions(self, name: str) -> list[dict[str, Any]]:
        """Return the published versions of a service, oldest first."""
        return list(self._run(operations.of_service(self._specs, name, "versions", key="versions")))

    def log(self, name: str) -> list[dict[str, Any]]:
        """Return the last 200 calls of a service with their prints, newest last."""
        return list(self._run(operations.of_service(self._specs, name, "log", key="entries")))

    def health(self) -> dict[str, Any]:
        """Return the server's state: whether it accepts calls."""
        return self._run(operations.health())

    def remove(self, name: str) -> None:
        """Remove a published service with all its versions."""
        self._run(operations.remove(self._specs, name))

    def access(self, name: str) -> dict[str, Any]:
        """Return who may call a service: ``users``, ``groups``, ``everyone``, ``public``."""
        return self._run(operations.access(self._specs, name))

    def share(
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
        return self._run(operations.access(self._specs, name, wanted))

    # calls

    def call(self, name: str, values: Mapping[str, Any] | None = None, **options: Any) -> Any:
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
        return self._call(self.spec(name), values or {}, CallOptions(**options))

    def raw(
        self, name: str, values: Mapping[str, Any] | None = None, **options: Any
    ) -> RawResponse:
        """Call a service and return the response unchanged; with ``progress`` always as JSON."""
        how = operations.as_raw(CallOptions(**options))
        request = operations.call_request(self.spec(name), values or {}, how)
        if how.progress is None:
            return self._run(operations.fetch(self._specs, name, request))
        reader = EventReader({}, how.progress)
        items = list(self._events(request, reader))
        return operations.raw_json(items or reader.value)

    def _call(self, spec: ServiceSpec, values: Mapping[str, Any], how: CallOptions) -> Any:
        files = uploads.large(spec, values)
        ids: dict[str, str] = {}
        try:
            for name, path in files.items():
                ids[name] = self._run(uploads.send(spec.name, name, path))
            sent = {name: uploads.value(id, files[name]) for name, id in ids.items()}
            return self._call_with(spec, {**values, **sent}, how, tuple(ids.values()))
        finally:
            for id in ids.values():
                with suppress(EasyMLNBError):
                    self._run(uploads.forget(id))

    def _call_with(
        self, spec: ServiceSpec, values: Mapping[str, Any], how: CallOptions, ids: tuple[str, ...]
    ) -> Any:
        request = operations.call_request(spec, values, how)
        if ids:
            request.headers[uploads.HEADER] = ",".join(ids)
        if spec.stream:
            return self._events(request, EventReader(spec.output, how.progress))
        if how.progress is None:
            return self._run(operations.call(self._specs, spec.name, request, spec))
        reader = EventReader(spec.output, how.progress)
        for _ in self._events(request, reader):
            pass
        return reader.value

    # the network

    def _run(self, flow: Operation[T]) -> T:
        try:
            request = next(flow)
            while True:
                request = flow.send(self._send(request))
        except StopIteration as done:
            found: T = done.value
            return found

    def _send(self, request: Request) -> Response:
        with transports.translated(self._server, request.seconds):
            response = self._http.request(**transports.arguments(request))
            return transports.answer(response, response.content)

    def _events(self, request: Request, reader: EventReader) -> Iterator[Any]:
        with (
            transports.translated(self._server, request.seconds),
            self._http.stream(**transports.arguments(request)) as response,
        ):
            if operations.EVENT_STREAM not in response.headers.get("content-type", ""):
                answer = checked(transports.answer(response, response.read()))
                reader.finish(decode(answer.content_type, answer.body, reader.output))
                return
            for chunk in response.iter_bytes():
                yield from reader.feed(chunk)
        reader.end()

    def close(self) -> None:
        """Close the connections; the client cannot be used afterwards."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
