"""The client for synchronous code."""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx

from easymlnb.client import batches, jobs, operations, uploads
from easymlnb.client import transport as transports
from easymlnb.client.admin import Admin
from easymlnb.client.batches import BatchOptions
from easymlnb.client.decoding import decode
from easymlnb.client.discovery import Server
from easymlnb.client.job_events import JobEventReader
from easymlnb.client.jobs import Job, Jobs
from easymlnb.client.messages import Operation, Request, Response, raise_for_error
from easymlnb.client.models import Models
from easymlnb.client.operations import CallOptions, RawResponse
from easymlnb.client.outbox import Outbox
from easymlnb.client.service_function import (
    Arguments,
    MapOptions,
    NoSuchService,
    RemoteService,
    SweepArguments,
    as_function,
    may_be_service,
    split_item,
)
from easymlnb.client.sse import EventReader
from easymlnb.client.template_models import Templates
from easymlnb.contract import names
from easymlnb.contract.errors import EasyMLNBError, ServiceNotFound
from easymlnb.contract.jsonschema import Schema
from easymlnb.contract.spec import ServiceSpec

T = TypeVar("T")


def _reported(future: Future[Any], how: MapOptions, done: int, items: Iterable[Any]) -> Any:
    result = future.result()
    how.report(done, items)
    return result


class Client:
    """A client of one server: its attributes are the server's services.

    ``c.roll(sides=6)`` calls the service ``roll``, and ``c["alice/roll"]`` is one of another user
    on a shared service. A service that streams returns an iterator of its results.
    ``c.roll.options(...)`` accepts ``timeout`` (seconds), ``progress`` (a function of a fraction
    and a text), ``accept`` (a media type), ``live``, ``priority`` and ``idempotency_key``;
    ``c.roll.raw(...)`` returns the response as it arrived, ``c.roll.submit(...)`` a ``Job``.
    ``c.roll.batch(table)`` runs each row of a table, ``c.roll.sweep(...)`` many parameters, and
    ``c.roll.map(items)`` yields the results of many calls.
    ``c.outbox(path)`` stores calls while the server cannot be reached.
    ``c.admin`` manages the services, ``c.jobs`` has your jobs and ``c.models`` the models.

    Create a client with ``ml.connect()``. It is a context manager; ``transport`` replaces the
    network in tests.
    """

    admin: Admin
    """The server's services, their versions, logs and access."""

    jobs: Jobs
    """Your jobs on the server."""

    models: Models
    """The trained models on the server."""

    templates: Templates
    """Models without code, made from data."""

    def __init__(self, server: Server, *, transport: httpx.BaseTransport | None = None) -> None:
        self._server = server
        self._http = httpx.Client(**transports.settings(server), transport=transport)
        self._specs = operations.SpecCache(time.monotonic, server.shared)
        self.admin = Admin(self._run, self._specs)
        self.jobs = Jobs(self)
        self.templates = Templates(self._run, self._specs)
        self.models = Models(self._run, self._specs)

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
        return as_function(self, name, self.admin.spec(name), CallOptions())

    def __contains__(self, name: object) -> bool:
        with suppress(ServiceNotFound):  # an invalid name
            return self.admin.full_name(str(name)) in set(self)
        return False

    def __iter__(self) -> Iterator[str]:
        return iter([operations.listed_name(service) for service in self.admin.services()])

    def __dir__(self) -> list[str]:
        found: list[str] = []
        with suppress(EasyMLNBError):  # completion must not fail because a server is unreachable
            listed = [names.split(name) for name in self]
            self.admin.full_name("any")  # fetches the caller's name
            found = [name for owner, name in listed if owner in ("", self._specs.me)]
        return [*super().__dir__(), *found]

    def __repr__(self) -> str:
        return f"<easymlnb client of {self._server.url}>"

    # calls

    def _call(self, name: str, arguments: Arguments, options: CallOptions) -> Any:
        spec = self.admin.spec(name)
        values = operations.bind_arguments(spec, *arguments)
        with self._uploaded(spec, values) as uploaded:
            request = operations.call_request(spec, values, options, uploaded)
            if not spec.stream and options.progress is None:
                return self._run(operations.call(self._specs, spec, request))
            reader = EventReader(spec.output, options.progress)
            events = self._events(request, reader)
            if spec.stream:
                return events
            list(events)
            return reader.value

    def _raw(self, name: str, arguments: Arguments, options: CallOptions) -> RawResponse:
        spec, options = self.admin.spec(name), operations.as_raw(options)
        values = operations.bind_arguments(spec, *arguments)
        request = operations.call_request(spec, values, options)
        if options.progress is None:
            return self._run(operations.fetch(self._specs, spec, request))
        reader = EventReader({}, options.progress)
        return operations.raw_json(list(self._events(request, reader)) or reader.value)

    def _submit(self, name: str, arguments: Arguments, options: CallOptions) -> Job:
        spec = self.admin.spec(name)
        values = operations.bind_arguments(spec, *arguments)
        with self._uploaded(spec, values) as uploaded:
            request = operations.call_request(spec, values, options, uploaded)
            request = jobs.submit_request(spec, request, options)
            return Job(self, self._run(jobs.submit(request)))

    @contextmanager
    def _uploaded(
        self, spec: ServiceSpec, values: Mapping[str, Any]
    ) -> Iterator[dict[str, dict[str, str]]]:
        """Upload the large files of a call, and remove them when it is over."""
        uploaded: dict[str, dict[str, str]] = {}
        try:
            for field, path in uploads.large_files(spec, values).items():
                uploaded[field] = self._run(uploads.send(spec.name, field, path))
            yield uploaded
        finally:
            for file in uploaded.values():
                with suppress(EasyMLNBError):
                    self._run(uploads.remove(file))

    def _batch(self, name: str, table: Any, options: BatchOptions) -> Job:
        return Job(self, self._run(batches.submit(self.admin.spec(name), table, options)))

    def _sweep(self, name: str, what: SweepArguments, options: CallOptions) -> Job:
        spec = self.admin.spec(name)
        operation = batches.sweep(spec, what.grid, what.points, what.values, options)
        return Job(self, self._run(operation))

    def _map(
        self, name: str, items: Iterable[Any], how: MapOptions, options: CallOptions
    ) -> Iterator[Any]:
        def call(item: Any) -> Any:
            found = self._call(name, split_item(item), options)
            return list(found) if isinstance(found, Iterator) else found

        waiting: deque[Future[Any]] = deque()
        done = 0
        with ThreadPoolExecutor(how.max_concurrency, "easymlnb-map") as pool:
            try:
                for item in items:
                    waiting.append(pool.submit(call, item))
                    while len(waiting) >= how.max_concurrency or waiting[0].done():
                        done += 1
                        yield _reported(waiting.popleft(), how, done, items)
                        if not waiting:
                            break
                while waiting:
                    done += 1
                    yield _reported(waiting.popleft(), how, done, items)
            finally:
                for future in waiting:
                    future.cancel()

    def _output(self, service: str) -> Schema:
        try:
            return self.admin.spec(service).output
        except ServiceNotFound:
            return {}  # it was removed since

    def outbox(self, path: str | Path) -> Outbox:
        """Return the calls that wait in a file until the server can be reached.

        Parameters
        ----------
        path : str or Path
            A file of SQLite, which is created if it is missing.
        """
        return Outbox(self, path)

    # the network

    def _run(self, operation: Operation[T]) -> T:
        try:
            request = next(operation)
            while True:
                request = operation.send(self._send(request))
        except StopIteration as done:
            result: T = done.value
            return result

    def _send(self, request: Request) -> Response:
        with transports.translate_errors(self._server, request.seconds):
            if request.target is not None:
                return self._download(request, request.target)
            response = self._http.request(**transports.arguments(request))
            return transports.read(response, response.content)

    def _download(self, request: Request, target: Path) -> Response:
        with self._http.stream(**transports.arguments(request)) as stream:
            if stream.status_code != 200:
                return transports.read(stream, stream.read())
            with target.open("wb") as file:
                for chunk in stream.iter_bytes(transports.CHUNK):
                    file.write(chunk)
            return transports.read(stream, b"")

    def _events(self, request: Request, reader: EventReader | JobEventReader) -> Iterator[Any]:
        with (
            transports.translate_errors(self._server, request.seconds),
            self._http.stream(**transports.arguments(request)) as stream,
        ):
            if operations.EVENT_STREAM not in stream.headers.get("content-type", ""):
                response = raise_for_error(transports.read(stream, stream.read()))
                reader.finish(decode(response.content_type, response.body, reader.output))
                return
            for chunk in stream.iter_bytes():
                yield from reader.feed(chunk)
        reader.end()

    def close(self) -> None:
        """Close the connections; the client cannot be used afterwards."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
