"""A call of another service as questions over the kernel's link: its spec, then its result."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from easymlnb.client import decoding, operations
from easymlnb.client.messages import encode_form
from easymlnb.contract.service_call_protocol import CallService, CancelServiceCall, DescribeService
from easymlnb.contract.spec import ServiceSpec
from easymlnb.contract.worker_protocol import LARGE, Message
from easymlnb.runtime.body_files import store_in
from easymlnb.runtime.context import CURRENT_CALL
from easymlnb.runtime.link_requests import REQUESTS, LinkTransport, PendingRequest, ServiceResponse
from easymlnb.runtime.live import session

LINK_SECONDS = 3.0
"""How long a cell waits for its kernel's link, right after the kernel's start."""

_specs = operations.SpecCache(time.monotonic)

Values = tuple[tuple[Any, ...], dict[str, Any]]


def link_transport() -> LinkTransport | None:
    """Return how this process asks its server; ``None`` if it has no link to one."""
    if REQUESTS.transport is None and session.has_server():
        session.link()
        until = time.monotonic() + LINK_SECONDS
        while REQUESTS.transport is None and time.monotonic() < until:
            time.sleep(0.01)
    return REQUESTS.transport


class LinkCall:
    """Calls of one service from one place."""

    def __init__(self, transport: LinkTransport, name: str, timeout: float | None) -> None:
        self._way = transport
        self._name = name
        self._timeout = timeout
        context = CURRENT_CALL.get()
        # What runs in a form under a cell the server does not know.
        self._parent = max(context.call.id, 0) if context is not None else 0
        self._result_folder = context.call.result_folder if context is not None else ""

    def call(self, given: tuple[Any, ...], values: dict[str, Any]) -> Any:
        spec = self._spec()
        return self._read(spec, self._wait(self._ask(spec, given, values)))

    async def call_async(self, given: tuple[Any, ...], values: dict[str, Any]) -> Any:
        spec = _specs.get(self._name)
        if spec is None:
            spec = self._keep(await self._answer(lambda number: (self._lookup(number), b"")))
        wanted = spec
        reply = await self._answer(lambda number: self._message(wanted, number, given, values))
        return self._read(spec, reply)

    def map(self, items: Iterable[Values], max_concurrency: int) -> list[Any]:
        spec = self._spec()
        out: deque[PendingRequest] = deque()
        results: list[Any] = []
        try:
            for given, values in items:
                if len(out) >= max_concurrency:
                    results.append(self._read(spec, self._wait(out[0])))
                    out.popleft()
                out.append(self._ask(spec, given, values))
            while out:
                results.append(self._read(spec, self._wait(out[0])))
                out.popleft()
        finally:
            for question in out:
                self._stop(question)
        return results

    # questions

    def _spec(self) -> ServiceSpec:
        known = _specs.get(self._name)
        if known is not None:
            return known
        question = REQUESTS.begin()
        self._way.send(self._lookup(question.number), b"")
        return self._keep(self._wait(question))

    def _ask(
        self, spec: ServiceSpec, given: tuple[Any, ...], values: dict[str, Any]
    ) -> PendingRequest:
        question = REQUESTS.begin()
        self._way.send(*self._message(spec, question.number, given, values))
        return question

    def _wait(self, question: PendingRequest) -> ServiceResponse:
        try:
            while not question.ended.is_set():
                self._way.wait(question)
        except BaseException:
            self._stop(question)
            raise
        return question.result()

    async def _answer(self, message: Callable[[int], tuple[Message, bytes]]) -> ServiceResponse:
        running = asyncio.get_running_loop()
        ended = asyncio.Event()

        def told() -> None:
            running.call_soon_threadsafe(ended.set)

        question = REQUESTS.begin(told)
        self._way.send(*message(question.number))
        try:
            await ended.wait()
        except BaseException:
            self._stop(question)
            raise
        return question.result()

    def _stop(self, question: PendingRequest) -> None:
        if not question.ended.is_set():
            REQUESTS.forget(question)
            self._way.notify(CancelServiceCall(id=question.number))

    # messages

    def _lookup(self, number: int) -> DescribeService:
        return DescribeService(id=number, service=self._name)

    def _message(
        self, spec: ServiceSpec, number: int, given: tuple[Any, ...], values: Mapping[str, Any]
    ) -> tuple[CallService, bytes]:
        request = operations.call_request(
            spec, operations.bind_arguments(spec, given, values), operations.CallOptions()
        )
        kind, body = request.headers.get("Content-Type", ""), request.content or b""
        if request.form is not None:
            kind, body = encode_form(request.form)
        file = (
            store_in(self._result_folder, body) if self._result_folder and len(body) > LARGE else ""
        )
        ask = CallService(
            id=number,
            service=self._name,
            parent=self._parent,
            content_type=kind,
            accept=request.headers.get("Accept", ""),
            seconds=self._timeout or 0.0,
            file=file,
        )
        return ask, b"" if file else body

    def _read(self, spec: ServiceSpec, reply: ServiceResponse) -> Any:
        body = bytes(reply.body)
        return decoding.decode(reply.content_type, body, spec.output, reply.filename)

    def _keep(self, reply: ServiceResponse) -> ServiceSpec:
        spec = msgspec.json.decode(bytes(reply.body), type=ServiceSpec)
        return _specs.add(self._name, spec)
