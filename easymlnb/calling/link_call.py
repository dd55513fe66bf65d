"""Call another service over the kernel's link: request its spec, then its result."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from easymlnb.client import decoding, operations
from easymlnb.client.messages import encode_form
from easymlnb.contract.service_call_protocol import CallService, CancelServiceCall, DescribeService
from easymlnb.contract.spec import ServiceSpec
from easymlnb.contract.worker_protocol import LARGE, Message
from easymlnb.runtime import environment
from easymlnb.runtime.body_files import store_in
from easymlnb.runtime.context import CURRENT_CALL
from easymlnb.runtime.link_requests import REQUESTS, LinkTransport, PendingRequest, ServiceResponse
from easymlnb.runtime.live import session

LINK_SECONDS = 3.0
"""Seconds that a cell waits for its kernel's link after the kernel's start."""

_specs = operations.SpecCache(time.monotonic)

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""The positional and named arguments of a call."""

CreateMessage = Callable[[int], tuple[Message, bytes]]
"""Returns the message of a request, and its body, from the number of the request."""


def link_transport() -> LinkTransport | None:
    """Return the transport to this process's server; ``None`` without a link."""
    if REQUESTS.transport is None and environment.has_server():
        session.link()
        until = time.monotonic() + LINK_SECONDS
        while REQUESTS.transport is None and time.monotonic() < until:
            time.sleep(0.01)
    return REQUESTS.transport


class LinkCall:
    """Calls of a service from one call or cell."""

    def __init__(self, transport: LinkTransport, name: str, timeout: float | None) -> None:
        self._transport = transport
        self._name = name
        self._timeout = timeout
        context = CURRENT_CALL.get()
        # The server does not know the calls of a form under a cell, whose ids are negative.
        self._parent = max(context.call.id, 0) if context is not None else 0
        self._result_folder = context.call.result_folder if context is not None else ""

    def call(self, arguments: Arguments) -> Any:
        """Call the service and wait for the result."""
        spec = self._spec()
        return _decode(spec, self._wait(self._start(self._call_message(spec, arguments))))

    async def call_async(self, arguments: Arguments) -> Any:
        """Call the service without blocking the event loop."""
        spec = _specs.get(self._name)
        if spec is None:
            spec = self._add_spec(await self._request(self._describe_message))
        return _decode(spec, await self._request(self._call_message(spec, arguments)))

    def map(self, calls: Iterable[Arguments], max_concurrency: int) -> list[Any]:
        """Make several calls at the same time, and return the results in order."""
        spec = self._spec()
        pending: deque[PendingRequest] = deque()
        results: list[Any] = []

        def collect(most: int) -> None:
            while len(pending) > most:
                results.append(_decode(spec, self._wait(pending[0])))
                pending.popleft()

        try:
            for arguments in calls:
                collect(max_concurrency - 1)
                pending.append(self._start(self._call_message(spec, arguments)))
            collect(0)
        finally:
            for request in pending:
                self._cancel(request)
        return results

    def _spec(self) -> ServiceSpec:
        known = _specs.get(self._name)
        return known or self._add_spec(self._wait(self._start(self._describe_message)))

    def _add_spec(self, response: ServiceResponse) -> ServiceSpec:
        spec = msgspec.json.decode(bytes(response.body), type=ServiceSpec)
        return _specs.add(self._name, spec)

    def _start(self, create: CreateMessage) -> PendingRequest:
        request = REQUESTS.begin()
        self._transport.send(*create(request.number))
        return request

    def _wait(self, request: PendingRequest) -> ServiceResponse:
        try:
            while not request.done():
                self._transport.wait(request)
        except BaseException:
            self._cancel(request)
            raise
        return request.result()

    async def _request(self, create: CreateMessage) -> ServiceResponse:
        request = self._start(create)
        try:
            return await asyncio.wrap_future(request)
        except BaseException:
            self._cancel(request)
            raise

    def _cancel(self, request: PendingRequest) -> None:
        if REQUESTS.forget(request):
            self._transport.notify(CancelServiceCall(id=request.number))

    def _describe_message(self, number: int) -> tuple[Message, bytes]:
        return DescribeService(id=number, service=self._name), b""

    def _call_message(self, spec: ServiceSpec, arguments: Arguments) -> CreateMessage:
        values = operations.bind_arguments(spec, *arguments)
        request = operations.call_request(spec, values, operations.CallOptions())
        kind, body = request.headers.get("Content-Type", ""), request.content or b""
        if request.form is not None:
            kind, body = encode_form(request.form)
        in_file = self._result_folder and len(body) > LARGE
        message = CallService(
            id=0,
            service=self._name,
            parent=self._parent,
            content_type=kind,
            accept=request.headers.get("Accept", ""),
            seconds=self._timeout or 0.0,
            file=store_in(self._result_folder, body) if in_file else "",
        )
        return lambda number: (
            msgspec.structs.replace(message, id=number),
            b"" if in_file else body,
        )


def _decode(spec: ServiceSpec, response: ServiceResponse) -> Any:
    body = bytes(response.body)
    return decoding.decode(response.content_type, body, spec.output, response.filename)
